import { describe, expect, it } from 'vitest';
import { BodyMemory } from '#shared/http/body-memory.ts';
import { Download, type Flow } from './download.ts';

class TestFlow implements Flow {
  isPaused = false;
  pause(): void {
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
  }
  cancel(): void {}
}

/** A sink that takes one chunk and then waits to be asked for more. */
function slowly(download: Download) {
  const got = { bytes: 0, end: '' };
  download.pipe({
    write: (chunk) => {
      got.bytes += chunk.length;
      return false;
    },
    end: () => (got.end = 'whole'),
    abort: (error) => (got.end = error.message),
  });
  return got;
}

const CHUNK = new Uint8Array(10_000);

describe('a response whose client is slow', () => {
  it('holds its upstream up at once where nothing is read ahead', () => {
    const flow = new TestFlow();
    const download = new Download(null, flow);
    slowly(download);
    download.push(CHUNK);

    expect(flow.isPaused).toBe(true);
  });

  it('is read ahead within its bound, and given on in order', () => {
    const memory = new BodyMemory(1_000_000, 100_000);
    const flow = new TestFlow();
    const download = new Download(null, flow, memory);
    const got = slowly(download);
    let pushed = 0;
    for (; !flow.isPaused && pushed < 50; pushed += 1) download.push(CHUNK);

    expect(pushed).toBeGreaterThan(9);
    expect(pushed).toBeLessThan(15);
    expect(memory.left).toBeLessThan(1_000_000);
    download.finish(null);
    for (let i = 0; i < 50 && got.end === ''; i += 1) download.resume();
    expect(got).toEqual({ bytes: pushed * CHUNK.length, end: 'whole' });
    expect(memory.left).toBe(1_000_000);
  });

  it('is read ahead as far as all of them together may be', () => {
    const memory = new BodyMemory(50_000, 100_000);
    const flows = Array.from({ length: 5 }, () => new TestFlow());
    for (const flow of flows) {
      const download = new Download(null, flow, memory);
      slowly(download);
      for (let i = 0; i < 4; i += 1) download.push(CHUNK);
    }

    expect(flows.map(({ isPaused }) => isPaused)).toEqual([false, true, true, true, true]);
    expect(memory.left).toBeGreaterThanOrEqual(0);
  });

  it('holds nothing once nobody wants it, or it has failed', () => {
    const memory = new BodyMemory(1_000_000, 100_000);
    for (const end of [
      (download: Download) => download.cancel(),
      (download: Download) => download.fail(new Error('gone')),
    ]) {
      const download = new Download(null, new TestFlow(), memory);
      slowly(download);
      for (let i = 0; i < 5; i += 1) download.push(CHUNK);
      expect(memory.left).toBeLessThan(1_000_000);
      end(download);
      expect(memory.left).toBe(1_000_000);
    }
  });
});
