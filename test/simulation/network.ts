/**
 * Connections between the processes of the simulated world. Like TCP: in order and whole, or held back,
 * or ended, or dead without either end having heard. In a harsher mode messages are also lost, doubled
 * and reordered one by one, as a broken box between could do it.
 */
import type { Connection, ConnectionEvents, Connector } from '#shared/platform/platform.ts';
import type { Socket } from '../../cp/sync/runner.ts';
import type { SeededRandom } from '../support/seeded-random.ts';
import type { SimProcess } from './process.ts';
import type { Scheduler } from './scheduler.ts';

const VANISHED = 1006;
/** Held back for longer, a connection is dead for good. */
const STALLED_MS_MAX = 15_000;

export type Way = 'up' | 'down';

/** The listening side: answers null when nobody takes the connection. */
export interface Listening {
  readonly process: SimProcess;
  accept(link: Link): ServerEvents | null;
}

export interface ServerEvents {
  message(text: string): void;
  close(): void;
}

export class Network {
  readonly scheduler: Scheduler;
  readonly random: SeededRandom;
  readonly links = new Set<Link>();
  readonly #servers = new Map<string, Listening>();
  /** `client server way` of what is cut. */
  readonly #blocked = new Map<string, number>();
  latencyMs = 5;
  /** Of a message to be lost, doubled or reordered. */
  harshness = 0;
  /** Sees every message on its way down; true: it takes care of it. */
  onDown: (link: Link, text: string) => boolean = () => false;

  constructor(scheduler: Scheduler, random: SeededRandom) {
    this.scheduler = scheduler;
    this.random = random;
  }

  listen(url: string, server: Listening): void {
    this.#servers.set(url, server);
    server.process.onDeath(() => {
      if (this.#servers.get(url) === server) this.#servers.delete(url);
    });
  }

  find(url: string): Listening | null {
    return this.#servers.get(url) ?? null;
  }

  /** What a client process dials through. */
  connector(client: SimProcess): Connector {
    return { open: (url, events) => this.#open(client, url, events) };
  }

  block(client: string, url: string, way: Way): void {
    this.#blocked.set(`${client} ${url} ${way}`, this.scheduler.nowMs);
  }

  /** Everything gets through again; what was held back for too long is dead. */
  heal(): void {
    this.#blocked.clear();
    for (const link of this.links) link.flush(STALLED_MS_MAX);
  }

  isBlocked(client: string, url: string, way: Way): boolean {
    return this.#blocked.has(`${client} ${url} ${way}`);
  }

  tripMs(): number {
    return 0.5 + this.random.next() * this.latencyMs;
  }

  #open(client: SimProcess, url: string, events: ConnectionEvents): Connection {
    const link = new Link(this, client, url, events);
    this.links.add(link);
    link.begin();
    return link;
  }
}

interface Message {
  readonly text: string;
  readonly bytes: number;
  readonly sent: (() => void) | null;
  readonly atMs: number;
}

export class Link implements Connection {
  readonly network: Network;
  readonly client: SimProcess;
  readonly url: string;
  readonly #events: ConnectionEvents;
  #server: { readonly process: SimProcess; readonly events: ServerEvents } | null = null;
  readonly #queues: Readonly<Record<Way, Message[]>> = { up: [], down: [] };
  readonly #isMoving: Record<Way, boolean> = { up: false, down: false };
  readonly #isEnded: Record<'client' | 'server', boolean> = { client: false, server: false };
  /** Nothing arrives any more, and neither end is told. */
  #isGone = false;
  /** The client does not read. */
  isSlow = false;
  readonly bufferedBytes = 0;
  #downBytes = 0;
  downBytesMax = 0;

  constructor(network: Network, client: SimProcess, url: string, events: ConnectionEvents) {
    this.network = network;
    this.client = client;
    this.url = url;
    this.#events = events;
  }

  /** Bytes that the server has sent and the client has not got. */
  get downBytes(): number {
    return this.#downBytes;
  }

  get serverProcess(): SimProcess | null {
    return this.#server?.process ?? null;
  }

  get isOpen(): boolean {
    return this.#server !== null && !this.#isEnded.client && !this.#isEnded.server;
  }

  begin(): void {
    const { network, client, url } = this;
    client.onDeath(() => this.#processDied('client'));
    network.scheduler.after(2 * network.tripMs(), () => {
      if (this.#isEnded.client) return this.#drop();
      // No answer at all: the client has its own limit.
      if (
        network.isBlocked(client.name, url, 'up') ||
        network.isBlocked(client.name, url, 'down')
      ) {
        return this.#drop();
      }
      const listening = network.find(url);
      if (listening === null || listening.process.isDead) return this.#tell('client', VANISHED, '');
      if (listening.process.isPaused) return this.#drop();
      this.#accept(listening);
    });
  }

  #accept(listening: Listening): void {
    const events = listening.accept(this);
    if (events === null) return this.#tell('client', VANISHED, 'refused');
    this.#server = { process: listening.process, events };
    listening.process.onDeath(() => this.#processDied('server'));
    this.client.run(() => this.#events.open());
    this.#move('down');
  }

  /** From the client. */
  send(text: string): void {
    if (!this.#isEnded.client) this.#push('up', text, null);
  }

  /** By the client. */
  close(code: number, reason: string): void {
    if (this.#isEnded.client) return;
    this.#isEnded.client = true;
    this.#afterTrip('up', () => this.#tell('server', code, reason));
  }

  sendDown(text: string, sent: (() => void) | null): void {
    if (this.#isEnded.server) {
      sent?.();
      return;
    }
    this.#push('down', text, sent);
  }

  closeDown(code: number, reason: string): void {
    if (this.#isEnded.server) return;
    this.#isEnded.server = true;
    this.#server?.events.close();
    // In order: what was sent before arrives before.
    this.#push('down', '', () => this.#tell('client', code, reason));
  }

  /** Somebody between the two says something to the client. */
  inject(text: string): void {
    this.client.run(() => {
      if (!this.#isEnded.client) this.#events.message(text);
    });
  }

  /** Ends it for both, at once. */
  cut(): void {
    this.#tell('client', VANISHED, '');
    this.#tell('server', VANISHED, '');
  }

  /** Dead, and nobody knows. */
  vanish(): void {
    this.#isGone = true;
    this.network.links.delete(this);
  }

  flush(stalledMaxMs: number): void {
    const nowMs = this.network.scheduler.nowMs;
    const oldest = [...this.#queues.up, ...this.#queues.down][0]?.atMs ?? nowMs;
    if (nowMs - oldest > stalledMaxMs && this.network.random.chance(0.5)) return this.vanish();
    this.isSlow = false;
    this.#move('up');
    this.#move('down');
  }

  #push(way: Way, text: string, sent: (() => void) | null): void {
    const { random, harshness, scheduler } = this.network;
    const bytes = text.length;
    const message: Message = { text, bytes, sent, atMs: scheduler.nowMs };
    if (way === 'down') {
      this.#downBytes += bytes;
      this.downBytesMax = Math.max(this.downBytesMax, this.#downBytes);
    }
    const queue = this.#queues[way];
    queue.push(message);
    if (harshness > 0 && text !== '' && random.chance(harshness)) this.#spoil(way, queue, message);
    this.#move(way);
  }

  #spoil(way: Way, queue: Message[], message: Message): void {
    const choice = this.network.random.below(3);
    if (choice === 0) {
      queue.pop();
      if (way === 'down') this.#downBytes -= message.bytes;
      message.sent?.();
    } else if (choice === 1) {
      queue.push({ ...message, bytes: 0, sent: null });
    } else if (queue.length > 1) {
      queue.splice(this.network.random.below(queue.length), 0, ...queue.splice(-1));
    }
  }

  #move(way: Way): void {
    if (this.#isMoving[way] || this.#queues[way].length === 0 || this.#isGone) return;
    if (this.#server === null) return;
    this.#isMoving[way] = true;
    this.network.scheduler.after(this.network.tripMs(), () => this.#arrive(way));
  }

  /** All that is there by now: a reader gets several messages at a time. */
  #arrive(way: Way): void {
    this.#isMoving[way] = false;
    if (this.#isGone || this.#isHeld(way)) return;
    const to = way === 'up' ? this.#server?.process : this.client;
    for (const message of this.#queues[way].splice(0)) {
      if (way === 'down') this.#downBytes -= message.bytes;
      to?.run(() => this.#deliver(way, message));
    }
  }

  #isHeld(way: Way): boolean {
    if (way === 'down' && this.isSlow) return true;
    if (way === 'down' && this.client.isPaused) return true;
    return this.network.isBlocked(this.client.name, this.url, way);
  }

  #deliver(way: Way, { text, sent }: Message): void {
    sent?.();
    if (text === '') return;
    this.network.scheduler.trace(`${way} ${this.client.name} ${text.length} ${text.slice(0, 24)}`);
    if (way === 'up') {
      if (!this.#isEnded.server) this.#server?.events.message(text);
    } else if (!this.#isEnded.client) {
      if (!this.network.onDown(this, text)) this.#events.message(text);
    }
  }

  #afterTrip(way: Way, fn: () => void): void {
    const { network } = this;
    network.scheduler.after(network.tripMs(), () => {
      if (!this.#isGone && !network.isBlocked(this.client.name, this.url, way)) fn();
    });
  }

  #processDied(which: 'client' | 'server'): void {
    if (this.#isEnded[which]) return;
    this.#isEnded[which] = true;
    // A machine without power says nothing; a process that died leaves it to its system.
    if (this.network.random.chance(0.3)) return this.vanish();
    const other = which === 'client' ? 'server' : 'client';
    this.#afterTrip(which === 'client' ? 'up' : 'down', () => this.#tell(other, VANISHED, ''));
  }

  #tell(which: 'client' | 'server', code: number, reason: string): void {
    if (this.#isGone) return;
    this.network.links.delete(this);
    if (which === 'client') {
      this.client.run(() => {
        if (this.#isEnded.client) return;
        this.#isEnded.client = true;
        this.network.scheduler.trace(`closed ${this.client.name} ${code} ${reason}`);
        this.#events.close(code, reason);
      });
      return;
    }
    const server = this.#server;
    server?.process.run(() => {
      if (this.#isEnded.server) return;
      this.#isEnded.server = true;
      server.events.close();
    });
  }

  #drop(): void {
    this.network.links.delete(this);
  }
}

/** What the server's socket looks like to its session. */
export function serverSocket(link: Link): Socket {
  return {
    send: (bytes, sent) => link.sendDown(Buffer.from(bytes).toString('utf8'), sent ?? null),
    get bufferedBytes() {
      return link.downBytes;
    },
    close: (code, reason) => link.closeDown(code, reason),
  };
}
