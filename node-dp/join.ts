/**
 * Two connections made one: bytes go both ways as they come, each side at the other's pace, and what
 * one side ends the other side sees end. Nothing of it is looked at.
 */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

export interface JoinLimits {
  /** Longest time without a byte in either direction. */
  readonly idleMs: number;
  /** Longest time the upstream may take nothing of what is there for it. */
  readonly upstreamStallMs: number;
  /** The same of the client. */
  readonly clientStallMs: number;
}

/** Why it ended. `ended`: both sides said so. */
export type JoinEnd =
  | 'ended'
  | 'client_reset'
  | 'upstream_reset'
  | 'idle'
  | 'client_stalled'
  | 'upstream_stalled'
  | 'cut';

export interface JoinOutcome {
  readonly end: JoinEnd;
  /** Handed to the client's socket; to the upstream's. */
  readonly bytesToClient: number;
  readonly bytesToUpstream: number;
}

/** One side. */
interface Side {
  readonly socket: Socket;
  readonly broken: JoinEnd;
  readonly stalled: JoinEnd;
  readonly stallMs: number;
  /** Bytes it was handed. */
  taken: number;
  hasEnded: boolean;
  /** Fires while it takes nothing; runs on, and means nothing, once it has taken. */
  stallTimer: NodeJS.Timeout | null;
}

/** Two sockets that were joined. */
export interface Joined {
  /** Ends it now, on both sides. */
  cut(): void;
}

/**
 * Starts at once. Both sockets must allow half-open. Held between the two at any time: one chunk and
 * what the sockets themselves hold (64 KiB each way before the sender is told to wait).
 *
 * @param over  called once, when both sockets are done with
 */
export function join(
  client: Socket,
  upstream: Socket,
  limits: JoinLimits,
  over: (outcome: JoinOutcome) => void,
): Joined {
  return new Join(client, upstream, limits, over);
}

class Join implements Joined {
  readonly #client: Side;
  readonly #upstream: Side;
  readonly #over: (outcome: JoinOutcome) => void;
  readonly #idleTimer: NodeJS.Timeout;
  #isOver = false;

  constructor(
    client: Socket,
    upstream: Socket,
    limits: JoinLimits,
    over: (outcome: JoinOutcome) => void,
  ) {
    this.#client = side(client, 'client_reset', 'client_stalled', limits.clientStallMs);
    this.#upstream = side(upstream, 'upstream_reset', 'upstream_stalled', limits.upstreamStallMs);
    this.#over = over;
    this.#idleTimer = setTimeout(() => this.#finish('idle', null), limits.idleMs);
    this.#flow(this.#client, this.#upstream);
    this.#flow(this.#upstream, this.#client);
  }

  cut(): void {
    this.#finish('cut', null);
  }

  #flow(from: Side, to: Side): void {
    const { socket } = from;
    socket.on('data', (chunk: Buffer) => {
      if (this.#isOver) return;
      this.#idleTimer.refresh();
      to.taken += chunk.length;
      if (to.socket.write(chunk)) return;
      socket.pause();
      this.#watch(to);
    });
    to.socket.on('drain', () => {
      this.#idleTimer.refresh();
      socket.resume();
    });
    socket.once('end', () => {
      from.hasEnded = true;
      to.socket.end(() => this.#endedBoth());
    });
    socket.on('error', () => this.#finish(from.broken, from));
    socket.once('close', () => {
      // One that closes before both of its directions have ended was cut off.
      if (from.hasEnded && socket.writableFinished) this.#endedBoth();
      else this.#finish(from.broken, from);
    });
    if (socket.destroyed) this.#finish(from.broken, from);
    else socket.resume();
  }

  #watch(to: Side): void {
    if (to.stallTimer === null) {
      to.stallTimer = setTimeout(() => {
        if (to.socket.writableNeedDrain) this.#finish(to.stalled, to);
      }, to.stallMs);
    } else {
      to.stallTimer.refresh();
    }
  }

  #endedBoth(): void {
    if (!this.#client.hasEnded || !this.#upstream.hasEnded) return;
    if (this.#client.socket.writableFinished && this.#upstream.socket.writableFinished) {
      this.#finish('ended', null);
    }
  }

  /** @param gone  the side that is; the other is told by a reset, never by a clean end */
  #finish(end: JoinEnd, gone: Side | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#idleTimer);
    for (const each of [this.#client, this.#upstream]) {
      if (each.stallTimer !== null) clearTimeout(each.stallTimer);
      if (gone === null || each === gone) each.socket.destroy();
      else reset(each.socket);
    }
    this.#over({
      end,
      bytesToClient: this.#client.taken,
      bytesToUpstream: this.#upstream.taken,
    });
  }
}

function side(socket: Socket, broken: JoinEnd, stalled: JoinEnd, stallMs: number): Side {
  return { socket, broken, stalled, stallMs, taken: 0, hasEnded: false, stallTimer: null };
}

/** Ends a connection so that the peer cannot take it for whole. */
export function reset(socket: Socket): void {
  // Only a TCP handle can be reset; a TLS peer sees a close without close_notify.
  if (socket instanceof TLSSocket) socket.destroy();
  else socket.resetAndDestroy();
}
