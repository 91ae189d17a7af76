/**
 * Bodies on the request path: none, bytes, or a stream with backpressure. No WHATWG objects: each
 * runtime wraps what it has, and hands its own streams through untouched when nothing filters them.
 */
import type { HeaderList } from './headers.ts';

/** Receives a stream. Calls come in order: `write`*, then one of `end` and `abort`. */
export interface BodySink {
  /** False: stop until `resume` of the source is called. The chunk itself has been taken. */
  write(chunk: Uint8Array): boolean;
  end(trailers: HeaderList | null): void;
  abort(error: Error): void;
}

export interface BodyStream {
  /** From Content-Length; null when unknown. */
  readonly length: number | null;
  /** True once `pipe` was called: the bytes cannot be had again. */
  readonly consumed: boolean;
  /** Starts the flow. At most once. */
  pipe(sink: BodySink): void;
  /** The sink can take more. */
  resume(): void;
  /** Nobody wants the rest. Also before `pipe`. */
  cancel(error?: Error): void;
}

/** `null` when there is none; bytes when small and known; a stream otherwise. */
export type Body = null | Uint8Array | BodyStream;

/**
 * One plugin's work on a response body, chunk by chunk. `last` comes once, with an empty chunk when
 * the end brings no bytes. Answers the bytes to send on now; null for none yet.
 */
export type BodyFilter = (chunk: Uint8Array, last: boolean) => Uint8Array | null;
