/**
 * A TCP proxy that does to a connection what networks do: delay, too little bandwidth, loss (which TCP
 * shows as a stall), silence in one direction or both, cuts and resets; and, told how to read the
 * protocol, what only an adversary would: a chosen message dropped, doubled, swapped, or the last.
 */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { SeededRandom } from '../support/seeded-random.ts';
import type { Direction, MakeSplitter, Message, Splitter } from './splitters.ts';

/** What happens to the bytes of one direction, on all connections, from now on. */
export interface Weather {
  /** Added to every chunk. */
  delayMs: number;
  /** Null: as fast as it goes. */
  bytesPerSecond: number | null;
  /** Chance of a chunk to be lost once: it, and all after it, come `stallMs` later. */
  lossChance: number;
  stallMs: number;
  /** Nothing arrives, not even that the other side has gone; both ends stay open. */
  isSilent: boolean;
}

/**
 * What becomes of a message. `cut`: the connection breaks instead of it. `cut_after`: it is the last one
 * to arrive. `swap`: it goes after the one that follows it.
 */
export type Action = 'pass' | 'drop' | 'double' | 'swap' | 'cut' | 'cut_after';

/** Asked about every message, when the protocol is known. */
export type Decide = (message: Message, direction: Direction, connection: object) => Action;

export interface ChaosProxyOptions {
  /** Port of the server, on this machine. */
  readonly target: number;
  /** 0, the default: any. */
  readonly port?: number;
  readonly split?: MakeSplitter;
  readonly seed?: number;
}

/** Bytes that a delayed direction holds before its sender is told to wait. */
const HELD_BYTES_MAX = 1024 * 1024;

export class ChaosProxy {
  readonly up: Weather = clear();
  readonly down: Weather = clear();
  /** New connections are reset. */
  isDown = false;
  decide: Decide = () => 'pass';
  /** Bytes passed on, and connections made, since the start. */
  readonly bytes = { up: 0, down: 0 };
  connections = 0;
  readonly #server: Server;
  readonly #options: ChaosProxyOptions;
  readonly #random: SeededRandom;
  readonly #links = new Set<Link>();

  private constructor(server: Server, options: ChaosProxyOptions) {
    this.#server = server;
    this.#options = options;
    this.#random = new SeededRandom(options.seed ?? 1);
    server.on('connection', (client: Socket) => this.#accept(client));
  }

  static async start(options: ChaosProxyOptions): Promise<ChaosProxy> {
    // Half-open allowed: an end is passed on as an end.
    const server = createServer({ allowHalfOpen: true });
    server.listen(options.port ?? 0, '127.0.0.1');
    await once(server, 'listening');
    return new ChaosProxy(server, options);
  }

  get port(): number {
    // A listening TCP server's address is an object.
    return (this.#server.address() as AddressInfo).port;
  }

  /** Connections that are open now. */
  get openCount(): number {
    return this.#links.size;
  }

  /** Breaks all connections with a reset. */
  breakAll(): void {
    for (const link of this.#links) link.reset();
  }

  /** Breaks every connection once it has carried so many more bytes that way. */
  cutAfter(direction: Direction, bytes: number): void {
    for (const link of this.#links) link.cutAfter(direction, bytes);
  }

  /** Both ways at once. */
  silence(isSilent: boolean): void {
    this.up.isSilent = isSilent;
    this.down.isSilent = isSilent;
    this.heal();
  }

  /** To be called after a silence was ended: what waited goes on its way. */
  heal(): void {
    for (const link of this.#links) link.heal();
  }

  async stop(): Promise<void> {
    this.breakAll();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #accept(client: Socket): void {
    if (this.isDown) {
      client.on('error', () => {});
      client.resetAndDestroy();
      return;
    }
    this.connections++;
    const upstream = connect({
      port: this.#options.target,
      host: '127.0.0.1',
      allowHalfOpen: true,
      noDelay: true,
    });
    client.setNoDelay(true);
    const link = new Link(this, { client, upstream }, this.#options.split, this.#random);
    this.#links.add(link);
    link.onGone = () => void this.#links.delete(link);
  }
}

function clear(): Weather {
  return { delayMs: 0, bytesPerSecond: null, lossChance: 0, stallMs: 200, isSilent: false };
}

/** One connection: two pipes that end together. */
class Link {
  readonly up: Pipe;
  readonly down: Pipe;
  onGone: () => void = () => {};

  constructor(
    proxy: ChaosProxy,
    { client, upstream }: { client: Socket; upstream: Socket },
    split: MakeSplitter | undefined,
    random: SeededRandom,
  ) {
    const optionsOf = (direction: Direction): PipeOptions => {
      const splitter = split?.(direction);
      const judge =
        splitter === undefined
          ? null
          : {
              splitter,
              decide: (message: Message) => proxy.decide(message, direction, this),
            };
      return {
        weather: proxy[direction],
        judge,
        random,
        count: (bytes) => (proxy.bytes[direction] += bytes),
        broken: () => this.#broken(),
        closed: () => this.#closed(),
      };
    };
    this.up = new Pipe(client, upstream, optionsOf('up'));
    this.down = new Pipe(upstream, client, optionsOf('down'));
  }

  cutAfter(direction: Direction, bytes: number): void {
    this[direction].bytesLeft = bytes;
  }

  heal(): void {
    if (this.up.source.destroyed !== this.down.source.destroyed) return this.reset();
    this.up.flow();
    this.down.flow();
  }

  reset(): void {
    for (const pipe of [this.up, this.down]) {
      pipe.end();
      pipe.source.resetAndDestroy();
    }
    this.onGone();
  }

  /** One of the sockets has gone, or is to go; what is silent does not show it. */
  #broken(): void {
    if (!this.up.isMute && !this.down.isMute) this.reset();
  }

  #closed(): void {
    if (this.up.source.destroyed && this.down.source.destroyed) this.onGone();
  }
}

interface Judge {
  readonly splitter: Splitter;
  readonly decide: (message: Message) => Action;
}

interface PipeOptions {
  readonly weather: Weather;
  readonly judge: Judge | null;
  readonly random: SeededRandom;
  readonly count: (bytes: number) => void;
  /** The connection is to be broken. */
  readonly broken: () => void;
  /** The source has closed, in order or not. */
  readonly closed: () => void;
}

/** A chunk, or null for the end, and when it leaves. */
interface Held {
  readonly bytes: Buffer | null;
  readonly atMs: number;
  /** The connection breaks after it. */
  readonly isLast: boolean;
}

class Pipe {
  readonly source: Socket;
  readonly #sink: Socket;
  readonly #options: PipeOptions;
  readonly #held: Held[] = [];
  #heldBytes = 0;
  #departureMs = 0;
  #timer: NodeJS.Timeout | null = null;
  #swapped: Buffer | null = null;
  #isOver = false;
  /** Bytes until the connection breaks. */
  bytesLeft = Number.POSITIVE_INFINITY;

  constructor(source: Socket, sink: Socket, options: PipeOptions) {
    this.source = source;
    this.#sink = sink;
    this.#options = options;
    source.on('data', (chunk: Buffer) => this.#take(chunk));
    source.on('end', () => this.#hold(null));
    source.on('error', () => {});
    source.on('close', (hadError) => {
      options.closed();
      // An orderly end waits for its turn behind the bytes before it.
      if (hadError) options.broken();
    });
    sink.on('drain', () => this.flow());
  }

  /** Whether nothing gets through now, not even an end. */
  get isMute(): boolean {
    return this.#options.weather.isSilent;
  }

  end(): void {
    this.#isOver = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #take(chunk: Buffer): void {
    const { judge } = this.#options;
    if (judge === null) return this.#hold(chunk);
    for (const message of judge.splitter.push(chunk)) {
      if (this.#isOver) return;
      this.#carryOut(judge.decide(message), message.bytes);
    }
  }

  #carryOut(action: Action, bytes: Buffer): void {
    if (action === 'drop') return;
    if (action === 'cut') return this.#options.broken();
    if (action === 'swap' && this.#swapped === null) {
      this.#swapped = bytes;
      return;
    }
    this.#hold(bytes, action === 'cut_after');
    if (action === 'double') this.#hold(bytes);
    const later = this.#swapped;
    this.#swapped = null;
    if (later !== null) this.#hold(later);
  }

  #hold(bytes: Buffer | null, isLast = false): void {
    const { delayMs, bytesPerSecond, lossChance, stallMs } = this.#options.weather;
    const size = bytes?.length ?? 0;
    const transferMs = bytesPerSecond === null ? 0 : (size / bytesPerSecond) * 1_000;
    const lostMs = lossChance > 0 && this.#options.random.chance(lossChance) ? stallMs : 0;
    const startMs = Math.max(performance.now() + delayMs, this.#departureMs);
    this.#departureMs = startMs + transferMs + lostMs;
    this.#held.push({ bytes, atMs: this.#departureMs, isLast });
    this.#heldBytes += size;
    this.flow();
  }

  /** Sends what is due. */
  flow(): void {
    while (!this.#isOver && !this.isMute && !this.#sink.writableNeedDrain) {
      const [next] = this.#held;
      if (next === undefined) break;
      const waitMs = next.atMs - performance.now();
      if (waitMs > 0) {
        this.#wakeIn(waitMs);
        break;
      }
      this.#held.shift();
      this.#send(next);
    }
    if (this.#isOver) return;
    const isFull = this.#heldBytes > HELD_BYTES_MAX || this.#sink.writableNeedDrain;
    if (this.isMute || isFull) this.source.pause();
    else this.source.resume();
  }

  #wakeIn(waitMs: number): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.flow();
    }, Math.ceil(waitMs));
  }

  #send({ bytes, isLast }: Held): void {
    if (bytes === null) {
      this.#sink.end();
      return;
    }
    this.#heldBytes -= bytes.length;
    const sent = bytes.subarray(0, this.bytesLeft);
    this.bytesLeft -= sent.length;
    this.#options.count(sent.length);
    if (!isLast && this.bytesLeft > 0) {
      this.#sink.write(sent);
      return;
    }
    this.end();
    // A reset throws away what has not left yet.
    this.#sink.write(sent, () => this.#options.broken());
  }
}
