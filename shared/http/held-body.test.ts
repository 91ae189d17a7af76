import { describe, expect, it } from 'vitest';
import { fromUtf8, utf8 } from '../base/bytes.ts';
import { BodyMemory } from './body-memory.ts';
import type { Body, BodySink, BodyStream } from './body.ts';
import { HeaderList } from './headers.ts';
import { holdBody } from './held-body.ts';

/** A body that the test writes; `isPaused` as its writer was last told. */
class TestBody implements BodyStream {
  readonly length = null;
  consumed = false;
  isCancelled = false;
  isPaused = false;
  sink: BodySink | null = null;

  pipe(sink: BodySink): void {
    this.consumed = true;
    this.sink = sink;
  }

  write(text: string): void {
    this.isPaused = this.sink?.write(utf8(text)) === false;
  }

  resume(): void {
    this.isPaused = false;
  }

  cancel(): void {
    this.isCancelled = true;
  }
}

/** What a body brings; it takes `takes` chunks before it is full, and then one for every `resume`. */
function read(body: Body, takes = Infinity) {
  const got = { text: '', end: '', trailers: null as HeaderList | null };
  if (body === null || body instanceof Uint8Array) throw new Error('a stream was expected');
  let left = takes;
  body.pipe({
    write: (chunk) => {
      got.text += fromUtf8(chunk);
      left -= 1;
      return left > 0;
    },
    end: (trailers) => {
      got.end = 'whole';
      got.trailers = trailers;
    },
    abort: (error) => (got.end = error.message),
  });
  return got;
}

const TOTAL = 10_000;
const ONE = 1000;

describe('a body that is held', () => {
  it('is bytes once it is whole', async () => {
    const memory = new BodyMemory(TOTAL, ONE);
    const source = new TestBody();
    const holding = holdBody(source, memory);
    source.write('ab');
    source.write('cd');
    source.sink?.end(null);

    const { body, bytes } = await holding;

    expect(body).toEqual(utf8('abcd'));
    expect(memory.left).toBe(TOTAL - bytes);
    memory.giveBack(bytes);
    expect(memory.left).toBe(TOTAL);
  });

  it('is none when nothing comes', async () => {
    const source = new TestBody();
    const holding = holdBody(source, new BodyMemory(TOTAL, ONE));
    source.sink?.end(null);

    expect(await holding).toEqual({ body: null, bytes: 0 });
  });

  it.each([
    ['too large', new BodyMemory(TOTAL, ONE)],
    ['too large for what others leave', new BodyMemory(ONE, TOTAL)],
  ])('goes on as a stream when it is %s, with nothing lost', async (_why, memory) => {
    const source = new TestBody();
    const holding = holdBody(source, memory);
    const pieces = Array.from({ length: 10 }, (_, i) => String(i).repeat(100));
    const sent: string[] = [];
    for (const piece of pieces) {
      if (source.isPaused) break;
      source.write(piece);
      sent.push(piece);
    }
    expect(source.isPaused).toBe(true);

    const { body } = await holding;
    expect((body as BodyStream).consumed).toBe(false);
    const got = read(body);
    expect(got.text).toBe(sent.join(''));
    expect(source.isPaused).toBe(false);
    source.write('more');
    source.sink?.end(new HeaderList(['x', '1']));

    expect(got).toEqual({
      text: `${sent.join('')}more`,
      end: 'whole',
      trailers: new HeaderList(['x', '1']),
    });
  });

  it('goes on at the pace of who takes it', async () => {
    const source = new TestBody();
    const holding = holdBody(source, new BodyMemory(TOTAL, 300));
    source.write('a'.repeat(100));
    source.write('b'.repeat(100));
    const { body } = await holding;
    const got = read(body, 1);
    expect([got.text.length, source.isPaused]).toEqual([100, true]);
    source.sink?.end(null);
    expect(got.end).toBe('');

    (body as BodyStream).resume();
    expect([got.text.length, got.end]).toEqual([200, '']);
    (body as BodyStream).resume();
    expect(got.end).toBe('whole');
  });

  it('costs what its pieces cost, not only its bytes', async () => {
    const source = new TestBody();
    const holding = holdBody(source, new BodyMemory(TOTAL, ONE));
    let count = 0;
    for (; !source.isPaused; count += 1) source.write('x');

    expect(count).toBeLessThan(10);
    expect(read((await holding).body).text).toBe('x'.repeat(count));
  });

  it('keeps trailers, which bytes have not', async () => {
    const source = new TestBody();
    const holding = holdBody(source, new BodyMemory(TOTAL, ONE));
    source.write('abc');
    source.sink?.end(new HeaderList(['x', '1']));

    expect(read((await holding).body)).toMatchObject({
      text: 'abc',
      end: 'whole',
      trailers: new HeaderList(['x', '1']),
    });
  });

  it('that is broken off is none, and holds nothing', async () => {
    const memory = new BodyMemory(TOTAL, ONE);
    const source = new TestBody();
    const holding = holdBody(source, memory);
    source.write('abc');
    source.sink?.abort(new Error('gone'));

    await expect(holding).rejects.toThrow('gone');
    expect(memory.left).toBe(TOTAL);
  });

  it('that nobody wants any more is cancelled where it comes from', async () => {
    const source = new TestBody();
    const holding = holdBody(source, new BodyMemory(TOTAL, 200));
    source.write('a'.repeat(100));
    source.write('a'.repeat(100));

    ((await holding).body as BodyStream).cancel();

    expect(source.isCancelled).toBe(true);
  });
});
