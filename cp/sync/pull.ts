/**
 * The same content over plain HTTPS, for data planes that cannot keep a connection: `GET` answers a
 * challenge, `POST {hello, frames}` answers `{frames}`. Each exchange is a session of its own with the
 * same machine; it does not take over from a connected one.
 */
import { fromUtf8 } from '#shared/base/bytes.ts';
import type { Clock, Logger } from '#shared/platform/platform.ts';
import { CLOSE } from '#shared/wire/close-codes.ts';
import { decodeUpFrame } from '#shared/wire/codec.ts';
import type { FrameOf } from '#shared/wire/frames.ts';
import { UP_FRAME_LENGTH_MAX } from '#shared/wire/protocol.ts';
import type { FrameBytes } from './feed.ts';
import type { Hub } from './hub.ts';
import type { PullNonces } from './nonce.ts';
import { Session, type SessionHost, type Socket } from './runner.ts';

/** Frames after `hello` in one exchange. */
export const PULL_FRAMES_MAX = 16;
/** Answer bytes after which no further tree nodes are added; the node asks again for the rest. */
export const PULL_ANSWER_BYTES_MAX = 8 * 1024 * 1024;
/** Exchanges under way at once. */
export const PULLS_MAX = 32;
/** Requests that are being read at once: who sends slowly keeps nobody from an exchange. */
export const READS_MAX = 512;
/** Longest that a request may take to come. */
export const READ_MS_MAX = 5_000;

export interface PullOptions {
  readonly hub: Hub;
  readonly nonces: PullNonces;
  readonly logger: Logger;
  challenge(nonce: string): FrameOf<'challenge'>;
}

export function createPull(
  options: PullOptions,
): (request: Request, ip: string) => Promise<Response> {
  let underWay = 0;
  let reading = 0;
  const overloaded = () => error(503, 'overloaded', { 'retry-after': '2' });
  return async (request, ip) => {
    if (request.method === 'GET') {
      return json(200, JSON.stringify(options.challenge(options.nonces.make())));
    }
    if (request.method !== 'POST') return error(405, 'method not allowed', { allow: 'GET, POST' });
    if (underWay >= PULLS_MAX || reading >= READS_MAX) return overloaded();
    reading += 1;
    const body = await readBody(request, options.hub.clock).finally(() => (reading -= 1));
    if (body instanceof Response) return body;
    if (underWay >= PULLS_MAX) return overloaded();
    underWay += 1;
    try {
      return await exchange(options, { request, body, ip });
    } finally {
      underWay -= 1;
    }
  };
}

async function exchange(
  options: PullOptions,
  { request, body, ip }: { request: Request; body: string; ip: string },
): Promise<Response> {
  const parsed = parseExchange(body);
  if (parsed === null) return error(400, 'expected {hello, frames}');
  const first = decodeUpFrame(JSON.stringify(parsed.hello));
  if (!first.ok || !('nonce' in first.frame)) return error(400, 'hello or enrol expected');
  if (!options.nonces.redeem(first.frame.nonce)) return error(401, 'nonce expired or used');
  const socket = new Collector();
  const peer = { hostHeader: request.headers.get('host') ?? '', ip };
  const session = new Session(pullHost(options.hub, socket), socket, peer);
  session.open(options.challenge(first.frame.nonce));
  socket.frames.length = 0;
  for (const frame of [parsed.hello, ...parsed.frames]) {
    if (session.isClosed) break;
    session.receive(JSON.stringify(frame));
    await session.idle();
  }
  session.dispatch({ type: 'closed' });
  if (socket.closed !== null) return error(statusOf(socket.closed.code), socket.closed.reason);
  return json(200, `{"frames":[${socket.frames.map(fromUtf8).join(',')}]}`);
}

/** Keeps what a session sends. */
class Collector implements Socket {
  readonly frames: FrameBytes[] = [];
  readonly bufferedBytes = 0;
  closed: { readonly code: number; readonly reason: string } | null = null;
  #bytes = 0;

  get isFull(): boolean {
    return this.#bytes > PULL_ANSWER_BYTES_MAX;
  }

  send(bytes: FrameBytes, sent?: () => void): void {
    this.#bytes += bytes.length;
    this.frames.push(bytes);
    sent?.();
  }

  close(code: number, reason: string): void {
    this.closed ??= { code, reason };
  }
}

/** The hub, but an exchange is no connection: it is neither pushed to nor does it supersede. */
function pullHost(hub: Hub, socket: Collector): SessionHost {
  return {
    clock: hub.clock,
    logger: hub.logger,
    shardSlots: hub.shardSlots,
    admit: (frame, expected) => hub.admit(frame, expected),
    feed: (key) => hub.feed(key),
    isCurrent: (key) => hub.isCurrent(key),
    shards: async (groupId, ids) => {
      if (!socket.isFull) return hub.shards(groupId, ids);
      return hub.shards(groupId, []);
    },
    mayWant: (member, count) => hub.mayWant(member, count),
    joined: (session, member) => {
      const ending = hub.endingOf(member.node);
      if (ending !== null) session.dispatch({ type: 'end', reason: ending });
      hub.pulled(member);
    },
    // An exchange is over before most answers would be there; this one is waited for.
    methods: (member) => ({ freshness: (asked) => hub.proveFreshness(asked, member()) }),
    confirmJoin: (node, joinSeq) => hub.confirmJoin(node, joinSeq),
    report: (_session, member, report) => hub.reportPulled(member, report),
    ahead: (member, position) => hub.ahead(member, position),
    closed: () => {},
  };
}

function statusOf(code: number): number {
  if (code === CLOSE.unauthorized) return 401;
  if (code === CLOSE.revoked) return 403;
  if (code === CLOSE.overloaded) return 503;
  return 400;
}

const NOTHING = { done: true, value: undefined } as const;

/** @returns why not, when it is too long or too slow */
async function readBody(request: Request, clock: Clock): Promise<string | Response> {
  const reader = request.body?.getReader();
  let cancel = (): void => {};
  const late = new Promise<Response>((resolve) => {
    cancel = clock.setTimer(READ_MS_MAX, () => resolve(error(408, 'request too slow')));
  });
  const parts: Uint8Array[] = [];
  let length = 0;
  try {
    for (;;) {
      const read = await Promise.race([reader?.read() ?? NOTHING, late]);
      if (read instanceof Response) return read;
      if (read.done) break;
      length += read.value.length;
      if (length > UP_FRAME_LENGTH_MAX) return error(413, 'request too long');
      parts.push(read.value);
    }
    return Buffer.concat(parts).toString('utf8');
  } finally {
    cancel();
    void reader?.cancel().catch(() => {});
  }
}

function parseExchange(text: string): { hello: unknown; frames: unknown[] } | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null || !('hello' in value)) return null;
  const frames = 'frames' in value ? value.frames : [];
  if (!Array.isArray(frames) || frames.length > PULL_FRAMES_MAX) return null;
  return { hello: value.hello, frames };
}

function json(status: number, body: string, headers: Record<string, string> = {}): Response {
  return new Response(body, {
    status,
    headers: { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers },
  });
}

function error(status: number, message: string, headers: Record<string, string> = {}): Response {
  return json(status, JSON.stringify({ message }), headers);
}
