/**
 * Byte streams cut into the messages of a protocol, so that a fault can hit a chosen one. A splitter
 * is fed the bytes of one direction of one connection, and answers the whole messages so far.
 */

/** `up`: from the client to the server. */
export type Direction = 'up' | 'down';

export interface Message {
  /** What it is in its protocol: `Q`, `CommandComplete` … for PostgreSQL, the frame's type for sync. */
  readonly kind: string;
  /** What it says, as far as the splitter reads it: a statement, a tag, a frame's text. */
  readonly text: string;
  /** All its bytes: passing these on passes the message on. */
  readonly bytes: Buffer;
}

export interface Splitter {
  push(chunk: Buffer): Message[];
}

export type MakeSplitter = (direction: Direction) => Splitter;

/** Takes one message off the front; null: not all of it is there yet. */
type Take = (bytes: Buffer) => Message | null;

function splitterOf(take: Take): Splitter {
  let rest: Buffer = Buffer.alloc(0);
  return {
    push(chunk) {
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      const messages: Message[] = [];
      for (let next = take(rest); next !== null; next = take(rest)) {
        messages.push(next);
        rest = rest.subarray(next.bytes.length);
      }
      return messages;
    },
  };
}

/** Kinds that the tests name; the rest keeps its letter. */
const POSTGRES_ANSWERS: Readonly<Record<string, string>> = {
  C: 'CommandComplete',
  A: 'NotificationResponse',
  Z: 'ReadyForQuery',
  E: 'ErrorResponse',
};

/** PostgreSQL's protocol 3, without TLS. Source: its documentation, chapter 55.7. */
export const postgresMessages: MakeSplitter = (direction) => {
  // A client's first message has no type.
  let isFirst = direction === 'up';
  return splitterOf((bytes) => {
    const start = isFirst ? 0 : 1;
    if (bytes.length < start + 4) return null;
    const length = start + bytes.readUInt32BE(start);
    if (bytes.length < length) return null;
    const type = isFirst ? 'startup' : String.fromCharCode(bytes[0] ?? 0);
    isFirst = false;
    const message = bytes.subarray(0, length);
    const kind = direction === 'down' ? (POSTGRES_ANSWERS[type] ?? type) : type;
    return { kind, text: textOf(kind, message), bytes: message };
  });
};

/** The statement of a simple query or a Parse, the tag of a CommandComplete. */
function textOf(kind: string, message: Buffer): string {
  const body = message.subarray(5);
  if (kind === 'Q' || kind === 'CommandComplete') return untilNul(body, 0);
  if (kind === 'P') return untilNul(body, body.indexOf(0) + 1);
  return '';
}

function untilNul(bytes: Buffer, start: number): string {
  return bytes.subarray(start, bytes.indexOf(0, start)).toString('utf8');
}

/** Frames of a WebSocket; the HTTP exchange before them is one message, `upgrade`. RFC 6455, 5.2. */
export const webSocketFrames: MakeSplitter = () => {
  let isFirst = true;
  return splitterOf((bytes) => {
    if (isFirst) {
      const end = bytes.indexOf('\r\n\r\n');
      if (end < 0) return null;
      isFirst = false;
      return { kind: 'upgrade', text: '', bytes: bytes.subarray(0, end + 4) };
    }
    return takeFrame(bytes);
  });
};

const OPCODES: Readonly<Record<number, string>> = { 8: 'close', 9: 'ws-ping', 10: 'ws-pong' };

function takeFrame(bytes: Buffer): Message | null {
  if (bytes.length < 2) return null;
  const [first = 0, second = 0] = bytes;
  const short = second & 0x7f;
  const extra = short === 126 ? 2 : short === 127 ? 8 : 0;
  const isMasked = (second & 0x80) !== 0;
  const head = 2 + extra + (isMasked ? 4 : 0);
  if (bytes.length < head) return null;
  const size =
    extra === 0 ? short : extra === 2 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
  if (bytes.length < head + size) return null;
  const payload = Buffer.from(bytes.subarray(head, head + size));
  if (isMasked) {
    const mask = bytes.subarray(head - 4, head);
    for (let i = 0; i < size; i++) payload[i] = (payload[i] ?? 0) ^ (mask[i % 4] ?? 0);
  }
  const text = payload.toString('utf8');
  const named = OPCODES[first & 0x0f];
  // Every sync frame says its type before anything else that is called so.
  const kind = named ?? /"type":"(\w+)"/.exec(text)?.[1] ?? 'data';
  return { kind, text, bytes: bytes.subarray(0, head + size) };
}
