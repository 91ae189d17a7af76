/**
 * A request's body, read before anybody else is bothered with it: what is all here can be sent twice.
 * What turns out too large to be held goes on as a stream, with what was read of it in front.
 */
import { BodyMemory } from './body-memory.ts';
import type { Body, BodySink, BodyStream } from './body.ts';
import type { HeaderList } from './headers.ts';

export interface Held {
  readonly body: Body;
  /** To be given back to the memory when the body is not needed any more. */
  readonly bytes: number;
}

/**
 * Rejects with what broke the body off.
 *
 * @param body  not consumed, and no longer than the memory takes, as far as it says
 */
export function holdBody(body: BodyStream, memory: BodyMemory): Promise<Held> {
  return new Promise((resolve, reject) => {
    body.pipe(new Holder(body, memory, resolve, reject));
  });
}

class Holder implements BodySink {
  readonly #source: BodyStream;
  readonly #memory: BodyMemory;
  readonly #resolve: (held: Held) => void;
  readonly #reject: (error: Error) => void;
  readonly #chunks: Uint8Array[] = [];
  #taken = 0;
  /** What the rest goes to, once it is known that there is too much. */
  #rest: HeldStream | null = null;

  constructor(
    source: BodyStream,
    memory: BodyMemory,
    resolve: (held: Held) => void,
    reject: (error: Error) => void,
  ) {
    this.#source = source;
    this.#memory = memory;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  write(chunk: Uint8Array): boolean {
    if (this.#rest !== null) return this.#rest.write(chunk);
    this.#chunks.push(chunk);
    const cost = chunk.length + BodyMemory.CHUNK_BYTES;
    if (this.#taken + cost <= this.#memory.perBodyMax && this.#memory.take(cost)) {
      this.#taken += cost;
      return true;
    }
    this.#stream();
    return false;
  }

  end(trailers: HeaderList | null): void {
    if (this.#rest === null && trailers === null) {
      const whole = joined(this.#chunks);
      this.#resolve({ body: whole.length === 0 ? null : whole, bytes: this.#taken });
      return;
    }
    (this.#rest ?? this.#stream()).end(trailers);
  }

  abort(error: Error): void {
    if (this.#rest !== null) {
      this.#rest.abort(error);
      return;
    }
    this.#memory.giveBack(this.#taken);
    this.#reject(error);
  }

  #stream(): HeldStream {
    const rest = new HeldStream(this.#source, this.#chunks);
    this.#rest = rest;
    this.#resolve({ body: rest, bytes: this.#taken });
    return rest;
  }
}

/** What was read already, then what is still to come. */
class HeldStream implements BodyStream, BodySink {
  readonly length: number | null;
  readonly #source: BodyStream;
  #chunks: Uint8Array[];
  #sink: BodySink | null = null;
  #outcome: { trailers: HeaderList | null } | { error: Error } | null = null;
  #isCancelled = false;

  constructor(source: BodyStream, chunks: Uint8Array[]) {
    this.length = source.length;
    this.#source = source;
    this.#chunks = chunks;
  }

  get consumed(): boolean {
    return this.#sink !== null;
  }

  pipe(sink: BodySink): void {
    this.#sink = sink;
    this.resume();
  }

  resume(): void {
    const sink = this.#sink;
    if (sink === null || this.#isCancelled) return;
    for (let chunk = this.#chunks.shift(); chunk !== undefined; chunk = this.#chunks.shift()) {
      if (!sink.write(chunk)) return;
    }
    if (this.#outcome === null) this.#source.resume();
    else tell(sink, this.#outcome);
  }

  cancel(error?: Error): void {
    if (this.#isCancelled) return;
    this.#isCancelled = true;
    this.#chunks = [];
    this.#source.cancel(error);
  }

  write(chunk: Uint8Array): boolean {
    if (this.#sink !== null && this.#chunks.length === 0) return this.#sink.write(chunk);
    this.#chunks.push(chunk);
    return false;
  }

  end(trailers: HeaderList | null): void {
    this.#settle({ trailers });
  }

  abort(error: Error): void {
    this.#settle({ error });
  }

  #settle(outcome: { trailers: HeaderList | null } | { error: Error }): void {
    this.#outcome = outcome;
    if (this.#sink !== null && this.#chunks.length === 0 && !this.#isCancelled) {
      tell(this.#sink, outcome);
    }
  }
}

function joined(chunks: readonly Uint8Array[]): Uint8Array {
  const [only] = chunks;
  if (chunks.length === 1 && only !== undefined) return only;
  let length = 0;
  for (const chunk of chunks) length += chunk.length;
  const whole = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.length;
  }
  return whole;
}

function tell(sink: BodySink, outcome: { trailers: HeaderList | null } | { error: Error }): void {
  if ('error' in outcome) sink.abort(outcome.error);
  else sink.end(outcome.trailers);
}
