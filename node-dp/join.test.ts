import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { eventually } from '../test/support/eventually.ts';
import { join, type Joined, type JoinLimits, type JoinOutcome } from './join.ts';

const cleanups: (() => void)[] = [];
afterEach(() => {
  while (cleanups.length > 0) must(cleanups.pop(), 'a cleanup')();
});

const PATIENT: JoinLimits = { idleMs: 60_000, upstreamStallMs: 60_000, clientStallMs: 60_000 };

interface Pair {
  /** The far ends. */
  readonly client: Socket;
  readonly upstream: Socket;
  readonly outcome: Promise<JoinOutcome>;
  readonly joined: Joined;
  /** The near ends. */
  readonly near: readonly [Socket, Socket];
}

async function pair(limits: Partial<JoinLimits> = {}): Promise<Pair> {
  const [nearClient, client] = await connection();
  const [nearUpstream, upstream] = await connection();
  let over = (_outcome: JoinOutcome): void => {};
  const outcome = new Promise<JoinOutcome>((resolve) => (over = resolve));
  const joined = join(nearClient, nearUpstream, { ...PATIENT, ...limits }, (end) => over(end));
  return { client, upstream, outcome, joined, near: [nearClient, nearUpstream] };
}

/** Both ends of a connection on loopback. */
async function connection(): Promise<[Socket, Socket]> {
  const server = createServer({ allowHalfOpen: true });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  const { port } = server.address() as AddressInfo;
  const far = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
  const near = await accepted;
  server.close();
  far.on('error', () => {});
  cleanups.push(() => [far, near].forEach((socket) => socket.destroy()));
  return [near, far];
}

function collect(socket: Socket): { text: () => string; hasEnded: () => boolean } {
  let text = '';
  let hasEnded = false;
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  socket.on('end', () => (hasEnded = true));
  return { text: () => text, hasEnded: () => hasEnded };
}

/** Writes until the other side lets no more in; answers how much went. */
async function fill(socket: Socket, mostBytes: number): Promise<number> {
  const chunk = Buffer.alloc(256 * 1024);
  let sent = 0;
  while (sent < mostBytes) {
    const isTaken = await new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(false), 300);
      socket.write(chunk, () => {
        clearTimeout(timer);
        resolve(true);
      });
    });
    if (!isTaken) return sent;
    sent += chunk.length;
  }
  return sent;
}

const ENOUGH = 64 * 1024 * 1024;

describe('joined connections', () => {
  it('pass bytes both ways and count them', async () => {
    const { client, upstream, outcome } = await pair();
    const atClient = collect(client);
    const atUpstream = collect(upstream);

    client.write('question');
    upstream.write('an answer');
    await eventually(
      'both',
      () => atClient.text() === 'an answer' && atUpstream.text() === 'question',
    );
    client.end();
    upstream.end();

    expect(await outcome).toEqual({ end: 'ended', bytesToClient: 9, bytesToUpstream: 8 });
  });

  it('pass an end on, and go on the other way', async () => {
    const { client, upstream, outcome } = await pair();
    const atClient = collect(client);
    const atUpstream = collect(upstream);

    client.end('all I have');
    await eventually('the end', () => atUpstream.hasEnded());
    upstream.write('still ');
    upstream.end('here');

    await eventually('the rest', () => atClient.hasEnded());
    expect(atClient.text()).toBe('still here');
    expect((await outcome).end).toBe('ended');
  });

  it.each(['client', 'upstream'] as const)('pass a reset of the %s on as one', async (which) => {
    const both = await pair();
    const other = which === 'client' ? both.upstream : both.client;
    const failed = new Promise((resolve) => other.once('error', resolve));
    other.resume();

    both[which].resetAndDestroy();

    expect((await both.outcome).end).toBe(`${which}_reset`);
    expect(await failed).toMatchObject({ code: 'ECONNRESET' });
  });

  it.each(['client', 'upstream'] as const)(
    'let a sender wait for a %s that does not read, and hold little',
    async (which) => {
      const both = await pair();
      const sender = which === 'client' ? both.upstream : both.client;
      both[which].pause();

      const sent = await fill(sender, ENOUGH);

      expect(sent).toBeLessThan(ENOUGH);
      const held = both.near.reduce(
        (sum, near) => sum + near.writableLength + near.readableLength,
        0,
      );
      expect(held).toBeLessThan(512 * 1024);
      both[which].resume();
      const more = await fill(sender, 8 * 1024 * 1024);
      expect(more).toBeGreaterThanOrEqual(8 * 1024 * 1024);
    },
  );

  it('end when nothing was said for the time allowed', async () => {
    const { outcome, client } = await pair({ idleMs: 50 });
    client.resume();

    expect((await outcome).end).toBe('idle');
    await eventually('the client is told', () => client.destroyed || client.readableEnded);
  });

  it('do not count as idle while one direction flows', async () => {
    const { outcome, client, upstream } = await pair({ idleMs: 200 });
    const atClient = collect(client);
    let isOver = false;
    void outcome.then(() => (isOver = true));

    for (let i = 1; i <= 20; i++) {
      upstream.write('x');
      await eventually('a byte', () => atClient.text().length === i);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }

    expect(isOver).toBe(false);
  });

  it.each(['client', 'upstream'] as const)(
    'end when the %s takes nothing for too long',
    async (which) => {
      const both = await pair({ [`${which}StallMs`]: 100 });
      const sender = which === 'client' ? both.upstream : both.client;
      both[which].pause();
      await fill(sender, ENOUGH);

      expect((await both.outcome).end).toBe(`${which}_stalled`);
    },
  );

  it('can be cut', async () => {
    const { joined, outcome, near } = await pair();

    joined.cut();

    expect((await outcome).end).toBe('cut');
    expect(near.every((socket) => socket.destroyed)).toBe(true);
  });
});
