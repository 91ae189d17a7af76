/**
 * What a client may do to an HTTP/2 connection, frame by frame. Whatever it is, the connection ends,
 * nothing stays in flight, memory stays bounded, and others are served all the while.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { eventually } from '../../test/support/eventually.ts';
import { SeededRandom } from '../../test/support/seeded-random.ts';
import {
  END_HEADERS,
  END_STREAM,
  FRAME,
  frame,
  get,
  NOTHING,
  openH2,
  post,
  RawH2,
  sendH2,
  uint32,
} from './client.suite.ts';
import { closeAfterEach, drained, ok, start, type Started } from './h2.suite.ts';
import { H2_LIMITS, STREAMS_MAX } from './limits.ts';

closeAfterEach();

const raws: RawH2[] = [];
afterEach(() => {
  for (const raw of raws.splice(0)) raw.socket.destroy();
});

function open(port: number): RawH2 {
  const client = new RawH2(port);
  raws.push(client);
  return client;
}

/** The attacker's own share included: it runs in this process. */
const MEMORY_BYTES_MAX = 192 * 1024 * 1024;
const ENDLESS = 1_000_000;

/** Goes on with `attack` until the connection is ended; others must not notice. */
async function survives(
  started: Started,
  attack: (client: RawH2) => Promise<unknown>,
): Promise<RawH2> {
  const bystander = await openH2(started.url);
  const before = process.memoryUsage().rss;
  const client = open(started.port);
  const state = { isOver: false };
  const statuses = new Set<number>();
  const serving = (async () => {
    while (!state.isOver) {
      statuses.add((await sendH2(bystander, { ':path': '/bystander' })).status);
    }
  })();
  await attack(client);
  await client.closed();
  state.isOver = true;
  await serving;
  expect([...statuses]).toEqual([200]);
  expect(process.memoryUsage().rss - before).toBeLessThan(MEMORY_BYTES_MAX);
  await eventually('nothing to be in flight', () => started.listener.inFlight === 0);
  bystander.destroy();
  await eventually('the connections to be gone', () => started.listener.connectionCount === 0);
  return client;
}

/** Answers bystanders at once and others never, until they are given up. */
function holding(): Parameters<typeof start>[0] {
  return (request, outcomes) => {
    if (request.target === '/bystander') return ok(outcomes);
    return new Promise((resolve) => {
      request.abort.onAbort(() => resolve(ok(outcomes)));
    });
  };
}

/** What reached the gateway of an attack. */
function asked(started: Started): number {
  return started.seen.filter(({ target }) => target === '/').length;
}

/** Stream by stream: the head of a request, and what the attack does to it. */
function streams(
  client: RawH2,
  head: Buffer,
  flags: number,
  then: (stream: number) => Buffer,
): Promise<void> {
  return (async () => {
    for (let stream = 1; stream < 2 * ENDLESS && !client.isClosed; stream += 128) {
      const frames: Buffer[] = [];
      for (let one = stream; one < stream + 128; one += 2) {
        frames.push(frame(FRAME.headers, flags, one, head), then(one));
      }
      await client.flood(Buffer.concat(frames), 1);
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
}

describe('a connection ends whose client', () => {
  it('opens streams and resets them at once', async () => {
    const started = await start(holding());

    const client = await survives(started, (attacker) =>
      streams(attacker, get(), END_HEADERS | END_STREAM, (id) =>
        frame(FRAME.reset, 0, id, uint32(8)),
      ),
    );

    expect(client.hasGoaway || client.isClosed).toBe(true);
    expect(asked(started)).toBeLessThan(H2_LIMITS.brokenStreamsBurst * 2);
  });

  it('opens streams and resets each once the gateway is at it', async () => {
    const h2Limits = { ...H2_LIMITS, brokenStreamsBurst: 100, brokenStreamsPerSecond: 1 };
    const started = await start(holding(), { h2Limits });

    await survives(started, async (attacker) => {
      for (let id = 1; !attacker.isClosed; id += 2) {
        attacker.write(frame(FRAME.headers, END_HEADERS | END_STREAM, id, get()));
        await eventually('the request', () => attacker.isClosed || asked(started) > id >> 1);
        attacker.write(frame(FRAME.reset, 0, id, uint32(8)));
      }
    });

    expect(asked(started)).toBeGreaterThanOrEqual(100);
    expect(asked(started)).toBeLessThan(150);
  });

  it.each<[string, Buffer, number, (id: number) => Buffer]>([
    [
      'a window update of nothing',
      get(),
      END_STREAM,
      (id) => frame(FRAME.windowUpdate, 0, id, uint32(0)),
    ],
    [
      'a window too large',
      get(),
      END_STREAM,
      (id) => frame(FRAME.windowUpdate, 0, id, uint32(0x7fffffff)),
    ],
    [
      'a body behind the end',
      get(),
      END_STREAM,
      (id) => frame(FRAME.data, 0, id, Buffer.from('a')),
    ],
    [
      'a second head',
      get(),
      END_STREAM,
      (id) => frame(FRAME.headers, END_HEADERS | END_STREAM, id, get()),
    ],
    [
      'a body longer than said',
      post('/', [['content-length', '1']]),
      0,
      (id) => frame(FRAME.data, 0, id, Buffer.from('abc')),
    ],
    [
      'a frame of the wrong size',
      get(),
      END_STREAM,
      (id) => frame(FRAME.priority, 0, id, uint32(0)),
    ],
    ['trailers that do not end', post(), 0, (id) => frame(FRAME.headers, END_HEADERS, id, get())],
  ])('makes us reset its streams by %s', async (_name, head, flags, then) => {
    const started = await start(holding());

    await survives(started, (attacker) => streams(attacker, head, END_HEADERS | flags, then));

    expect(asked(started)).toBeLessThan(H2_LIMITS.brokenStreamsBurst * 2);
  });

  it.each([
    ['full', frame(FRAME.continuation, 0, 1, literals(60))],
    ['empty', frame(FRAME.continuation, 0, 1, NOTHING)],
  ])('goes on and on with a head, in continuations that are %s', async (_name, more) => {
    const started = await start();

    const client = await survives(started, async (attacker) => {
      attacker.write(frame(FRAME.headers, 0, 1, get()));
      await attacker.flood(more, ENDLESS);
    });

    expect(client.goawayCode ?? 1).not.toBe(0);
    expect(started.seen.every(({ target }) => target === '/bystander')).toBe(true);
  });

  it('names one large field of the dynamic table over and over', async () => {
    const started = await start();
    const table = Buffer.concat([get(), Buffer.from([0x40]), text('x'), text('y'.repeat(4000))]);
    const bomb = Buffer.concat([get(), Buffer.alloc(8000, 0xbe)]);

    await survives(started, async (attacker) => {
      attacker.write(frame(FRAME.headers, END_HEADERS | END_STREAM, 1, table));
      for (let id = 3; id < ENDLESS && !attacker.isClosed; id += 2) {
        await attacker.flood(frame(FRAME.headers, END_HEADERS | END_STREAM, id, bomb), 1);
        await new Promise((resolve) => setImmediate(resolve));
      }
    });

    const largest = Math.max(...started.seen.map(({ headers }) => headers.size));
    expect(largest).toBeLessThan(5);
  }, 60_000);

  it.each<[string, Buffer]>([
    ['SETTINGS', frame(FRAME.settings, 0, 0, NOTHING)],
    ['SETTINGS that change the window', Buffer.concat([windowSetting(1), windowSetting(65_535)])],
    ['PING', frame(FRAME.ping, 0, 0, Buffer.alloc(8))],
    ['PRIORITY', frame(FRAME.priority, 0, 3, Buffer.from([0, 0, 0, 5, 1]))],
    ['WINDOW_UPDATE', frame(FRAME.windowUpdate, 0, 0, uint32(1))],
    ['frames that nobody knows', frame(0xfa, 0, 0, Buffer.alloc(1))],
    ['RST_STREAM of streams that are over', frame(FRAME.reset, 0, 1, uint32(8))],
  ])(
    'floods us with %s',
    async (_name, frames) => {
      const started = await start();
      const many = Buffer.concat(Array.from({ length: 1000 }, () => frames));

      await survives(started, async (attacker) => {
        attacker.write(frame(FRAME.headers, END_HEADERS | END_STREAM, 1, get()));
        await attacker.flood(many, ENDLESS);
      });
    },
    30_000,
  );

  it('floods us with PING and never reads what comes back', async () => {
    const started = await start();
    const many = Buffer.concat(
      Array.from({ length: 1000 }, () => frame(FRAME.ping, 0, 0, Buffer.alloc(8))),
    );

    await survives(started, async (attacker) => {
      attacker.socket.pause();
      const flooding = attacker.flood(many, ENDLESS);
      await eventually('the connection to be gone', () => started.listener.connectionCount === 1);
      attacker.socket.destroy();
      await flooding;
    });
  });

  it('sends a body of empty frames', async () => {
    const started = await start(async (request, outcomes) => {
      await drained(request);
      return ok(outcomes);
    });
    const many = Buffer.concat(
      Array.from({ length: 1000 }, () => frame(FRAME.data, 0, 1, NOTHING)),
    );

    const client = await survives(started, async (attacker) => {
      attacker.write(frame(FRAME.headers, END_HEADERS, 1, post()));
      await attacker.flood(many, ENDLESS);
    });

    expect(client.hasGoaway || client.isClosed).toBe(true);
  });

  it('opens more streams than it may', async () => {
    const started = await start(holding());

    await survives(started, (attacker) =>
      streams(attacker, get(), END_HEADERS | END_STREAM, () => NOTHING),
    );

    expect(asked(started)).toBeLessThanOrEqual(STREAMS_MAX);
  });

  it('sends heads that are too large, one after the other', async () => {
    const started = await start();
    const head = Buffer.concat([get(), literals(40)]);
    const split = [head.subarray(0, 16_000), head.subarray(16_000, 32_000), head.subarray(32_000)];

    await survives(started, async (attacker) => {
      for (let id = 1; id < ENDLESS && !attacker.isClosed; id += 2) {
        const frames = split.map((part, i) =>
          frame(
            i === 0 ? FRAME.headers : FRAME.continuation,
            (i === 0 ? END_STREAM : 0) | (i === 2 ? END_HEADERS : 0),
            id,
            part,
          ),
        );
        await attacker.flood(Buffer.concat(frames), 1);
        await new Promise((resolve) => setImmediate(resolve));
      }
    });

    expect(started.seen.every(({ target }) => target === '/bystander')).toBe(true);
  }, 30_000);

  it.each<[string, (client: RawH2) => void]>([
    ['says nothing after its settings', () => {}],
    ['stops in the middle of a head', (client) => client.write(frame(FRAME.headers, 0, 1, get()))],
    [
      'stops in the middle of a frame',
      (client) => client.write(frame(FRAME.headers, END_HEADERS, 1, get()).subarray(0, 12)),
    ],
  ])('%s', async (_name, attack) => {
    const started = await start(undefined, { h2Limits: { ...H2_LIMITS, firstRequestMs: 100 } });

    await survives(started, async (attacker) => attack(attacker));

    expect(started.seen.every(({ target }) => target === '/bystander')).toBe(true);
  });

  it('has had an answer and asks nothing more', async () => {
    const started = await start(undefined, { h2Limits: { ...H2_LIMITS, keepAliveMs: 100 } });

    const client = await survives(started, async (attacker) => {
      attacker.write(frame(FRAME.headers, END_HEADERS | END_STREAM, 1, get()));
    });

    expect(client.goawayCode).toBe(0);
  });

  it.each<[string, Buffer]>([
    ['no window at all', windowSetting(0)],
    ['a window of one byte', windowSetting(1)],
  ])('asks for an answer and takes nothing of it, with %s', async (_name, settings) => {
    const body = Buffer.alloc(200_000);
    const started = await start((_request, outcomes) => ok(outcomes, { body }), {
      sendIdleMs: 200,
    });

    const bystanders = await openH2(started.url);
    const client = open(started.port);
    client.write(settings, frame(FRAME.headers, END_HEADERS | END_STREAM, 1, get()));
    await client.closed();

    expect((await sendH2(bystanders, {})).text).toHaveLength(body.length);
    await eventually('nothing in flight', () => started.listener.inFlight === 0);
    expect(started.outcomes.map(({ complete }) => complete).toSorted()).toEqual([false, true]);
    bystanders.destroy();
  });
});

describe('a stream ends', () => {
  it('whose answer nobody takes, although its connection moves', async () => {
    const body = Buffer.alloc(200_000);
    const started = await start((_request, outcomes) => ok(outcomes, { body }), {
      sendIdleMs: 100,
    });
    const client = open(started.port);
    client.write(windowSetting(0), frame(FRAME.headers, END_HEADERS | END_STREAM, 1, get()));

    await eventually('a reset', () => {
      client.write(frame(FRAME.ping, 0, 0, Buffer.alloc(8)));
      return client.resetCode(1) !== null;
    });

    expect(client.resetCode(1)).toBe(8);
    expect(started.listener.inFlight).toBe(0);
    expect(client.isClosed).toBe(false);
  });
});

it('a client that sends whatever frames come to its mind does no harm', async () => {
  const seed = Date.now() % 2 ** 31;
  console.log(`seed ${seed}`);
  const random = new SeededRandom(seed);
  const started = await start(async (request, outcomes) => {
    await drained(request);
    return ok(outcomes);
  });
  const bystander = await openH2(started.url);

  for (let round = 0; round < 60; round += 1) {
    const client = open(started.port);
    const frames = Array.from({ length: 1 + random.below(40) }, () => randomFrame(random));
    client.write(...frames);
    if (random.chance(0.5)) await new Promise((resolve) => setImmediate(resolve));
    expect((await sendH2(bystander, {})).status).toBe(200);
    client.socket.destroy();
  }

  await eventually('nothing in flight', () => started.listener.inFlight === 0);
  await eventually('the connections to be gone', () => started.listener.connectionCount === 1);
  bystander.destroy();
});

it('a client that resets many streams now and then is no attacker', async () => {
  const started = await start(holding());
  const session = await openH2(started.url);

  for (let round = 0; round < 5; round += 1) {
    const cancelled = Array.from({ length: 100 }, () => session.request({ ':path': '/hold' }));
    for (const stream of cancelled) stream.on('error', () => {});
    await eventually('all in flight', () => started.listener.inFlight === 100);
    for (const stream of cancelled) stream.close(8);
    await eventually('none in flight', () => started.listener.inFlight === 0);
  }

  expect((await sendH2(session, { ':path': '/bystander' })).status).toBe(200);
  session.destroy();
});

function windowSetting(bytes: number): Buffer {
  return frame(FRAME.settings, 0, 0, Buffer.concat([Buffer.from([0, 4]), uint32(bytes)]));
}

function literals(count: number): Buffer {
  const one = Buffer.concat([Buffer.from([0]), text('x-filler'), text('v'.repeat(1000))]);
  return Buffer.concat(Array.from({ length: count }, () => one)).subarray(0, 16_384 * 3);
}

/** RFC 7541 section 5.2, up to some 16 KB. */
function text(value: string): Buffer {
  const { length } = value;
  if (length < 127) return Buffer.concat([Buffer.from([length]), Buffer.from(value)]);
  const rest = length - 127;
  const size = rest < 128 ? [127, rest] : [127, (rest % 128) + 128, rest >> 7];
  return Buffer.concat([Buffer.from(size), Buffer.from(value)]);
}

const HEADS = [
  get(),
  post(),
  post('/', [['content-length', '3']]),
  NOTHING,
  Buffer.from([0xbe, 0xff]),
];

/** Right in most of its parts. */
function randomFrame(random: SeededRandom): Buffer {
  const type = random.below(11);
  const stream = random.chance(0.2) ? 0 : random.below(12);
  const flags = random.chance(0.5) ? END_HEADERS | END_STREAM : random.below(64);
  const head = HEADS[random.below(HEADS.length)] ?? NOTHING;
  if (type === FRAME.headers || type === FRAME.continuation)
    return frame(type, flags, stream, head);
  return frame(type, flags, stream, random.bytes([0, 4, 5, 6, 8, 3][random.below(6)] ?? 0));
}
