/** Connections inside one process, over a fake clock, that can be slow, cut and swallowed. */
import type { Clock, Connection, ConnectionEvents, Connector } from '#shared/platform/platform.ts';

const VANISHED = 1006;

/** The control plane's end of a connection. */
export interface ServerEnd {
  readonly address: string;
  send(text: string): void;
  close(code: number, reason: string): void;
}

export interface ServerEvents {
  message(text: string): void;
  close(): void;
}

/** What happens to one message: null lets it pass. */
export type Fault = 'cut' | 'swallow' | null;

export interface NetworkOptions {
  readonly clock: Clock;
  /** Milliseconds that the next message takes. */
  readonly latencyMs?: () => number;
  /** Asked for every message and for every connection (`open`). */
  readonly fault?: (what: 'open' | 'up' | 'down', text: string) => Fault;
}

export class MemoryNetwork implements Connector {
  readonly #options: NetworkOptions;
  readonly #servers = new Map<string, (end: ServerEnd) => ServerEvents>();
  readonly #links = new Set<MemoryLink>();
  /** Every address that was dialled, and when. */
  readonly dialled: { readonly address: string; readonly atMs: number }[] = [];

  constructor(options: NetworkOptions) {
    this.#options = options;
  }

  listen(address: string, accept: (end: ServerEnd) => ServerEvents): void {
    this.#servers.set(address, accept);
  }

  /** Nobody listens there any more; whoever is connected notices. */
  unlisten(address: string): void {
    this.#servers.delete(address);
    for (const link of this.#links) if (link.address === address) link.cut();
  }

  get linkCount(): number {
    return this.#links.size;
  }

  open(address: string, events: ConnectionEvents): Connection {
    this.dialled.push({ address, atMs: this.#options.clock.monotonic() });
    const link = new MemoryLink(address, events, this.#options, () => this.#links.delete(link));
    this.#links.add(link);
    link.begin(() => this.#servers.get(address) ?? null);
    return link;
  }
}

class MemoryLink implements Connection {
  readonly bufferedBytes = 0;
  readonly address: string;
  readonly #events: ConnectionEvents;
  readonly #options: NetworkOptions;
  readonly #over: () => void;
  #server: ServerEvents | null = null;
  #isOver = false;
  #clearMs = { up: 0, down: 0 };

  constructor(
    address: string,
    events: ConnectionEvents,
    options: NetworkOptions,
    over: () => void,
  ) {
    this.address = address;
    this.#events = events;
    this.#options = options;
    this.#over = over;
  }

  begin(find: () => ((end: ServerEnd) => ServerEvents) | null): void {
    this.#later('down', () => {
      const accept = find();
      if (accept === null || this.#options.fault?.('open', '') === 'cut') return this.cut();
      this.#events.open();
      this.#server = accept({
        address: this.address,
        send: (text) => this.#pass('down', text),
        close: (code, reason) => this.#later('down', () => this.#end(code, reason)),
      });
    });
  }

  send(text: string): void {
    this.#pass('up', text);
  }

  close(code: number, reason: string): void {
    this.#end(code, reason);
  }

  /** Gone, without a word. */
  cut(): void {
    this.#end(VANISHED, '');
  }

  #pass(way: 'up' | 'down', text: string): void {
    if (this.#isOver) return;
    const fault = this.#options.fault?.(way, text) ?? null;
    if (fault === 'swallow') return;
    this.#later(way, () => {
      if (fault === 'cut') return this.cut();
      if (way === 'up') this.#server?.message(text);
      else this.#events.message(text);
    });
  }

  /** In order: nothing overtakes what was sent before. */
  #later(way: 'up' | 'down', fn: () => void): void {
    const { clock, latencyMs } = this.#options;
    const nowMs = clock.monotonic();
    const atMs = Math.max(this.#clearMs[way], nowMs + (latencyMs?.() ?? 1));
    this.#clearMs[way] = atMs;
    clock.setTimer(atMs - nowMs, () => {
      if (!this.#isOver) fn();
    });
  }

  #end(code: number, reason: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#over();
    this.#server?.close();
    this.#events.close(code, reason);
  }
}
