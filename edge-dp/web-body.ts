/** Bodies between the runtime's streams and the core's. What nobody filters is never unwrapped. */
import type { BodySink, BodyStream } from '#shared/http/body.ts';
import type { HeaderList } from '#shared/http/headers.ts';

const EMPTY = new Uint8Array(0);

/** Content-Length as a number; null when absent or nonsense. */
export function contentLength(headers: HeaderList): number | null {
  const text = headers.get('content-length');
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : null;
}

/** A stream of the runtime's. */
export class WebBody implements BodyStream {
  readonly length: number | null;
  /** The message it came with: the only way to send a body on with a GET. Null for a response. */
  readonly request: Request | null;
  readonly #stream: ReadableStream<Uint8Array>;
  #consumed = false;
  #bytes: Promise<Uint8Array> | null = null;
  #wake: (() => void) | null = null;

  constructor(stream: ReadableStream<Uint8Array>, length: number | null, request: Request | null) {
    this.#stream = stream;
    this.length = length;
    this.request = request;
  }

  get consumed(): boolean {
    return this.#consumed;
  }

  /** The runtime's own stream, for whoever hands it on whole. */
  take(): ReadableStream<Uint8Array> {
    this.#consumed = true;
    return this.#stream;
  }

  /** Marks it as sent, when the message it came with was sent on instead of the stream. */
  takeRequest(request: Request): Request {
    this.#consumed = true;
    return request;
  }

  /** All of it, kept: it can be sent again. Only for a short body of known length. */
  bytes(): Promise<Uint8Array> {
    this.#bytes ??= new Response(this.#stream).arrayBuffer().then((all) => new Uint8Array(all));
    return this.#bytes;
  }

  pipe(sink: BodySink): void {
    this.#consumed = true;
    void this.#flow(sink);
  }

  resume(): void {
    this.#wake?.();
    this.#wake = null;
  }

  cancel(error?: Error): void {
    this.#consumed = true;
    this.resume();
    if (!this.#stream.locked) void this.#stream.cancel(error).catch(() => undefined);
  }

  async #flow(sink: BodySink): Promise<void> {
    try {
      const reader = this.#stream.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        if (!sink.write(value)) await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } catch (error) {
      sink.abort(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    sink.end(null);
  }
}

/** A core stream as one of the runtime's. */
export function toReadable(body: BodyStream): ReadableStream<Uint8Array> {
  if (body instanceof WebBody) return body.take();
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        body.pipe({
          write(chunk) {
            controller.enqueue(chunk);
            return (controller.desiredSize ?? 0) > 0;
          },
          end() {
            controller.close();
          },
          abort(error) {
            controller.error(error);
          },
        });
      },
      pull() {
        body.resume();
      },
      cancel(reason) {
        body.cancel(reason instanceof Error ? reason : undefined);
      },
    },
    { highWaterMark: 1 },
  );
}

/** What a filter chain makes of one chunk. */
export type ChunkFilter = (chunk: Uint8Array, last: boolean) => Uint8Array | null;

export interface FilterEnd {
  readonly complete: boolean;
  readonly bytesSent: number;
}

/** Runs every chunk through `filter`; `ended` is told once how it went. */
export function filtered(
  stream: ReadableStream<Uint8Array>,
  filter: ChunkFilter,
  ended: (end: FilterEnd) => void,
): ReadableStream<Uint8Array> {
  const reader = stream.getReader();
  let bytesSent = 0;
  let over = false;
  const finish = (complete: boolean): void => {
    if (over) return;
    over = true;
    ended({ complete, bytesSent });
  };
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        for (;;) {
          const { done, value } = await reader.read();
          const out = filter(done ? EMPTY : value, done);
          if (out !== null && out.length > 0) {
            bytesSent += out.length;
            controller.enqueue(out);
          }
          if (done) {
            controller.close();
            finish(true);
            return;
          }
          if (out !== null && out.length > 0) return;
        }
      } catch (error) {
        controller.error(error);
        finish(false);
      }
    },
    async cancel(reason) {
      finish(false);
      await reader.cancel(reason);
    },
  });
}
