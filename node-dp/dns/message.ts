/** DNS messages: a question out, an answer checked against it. Source: RFC 1035 */
import { type Answer, type DecodedPacket, decode, encode, RECURSION_DESIRED } from 'dns-packet';

export type RecordType = 'A' | 'AAAA' | 'SRV';

export interface Question {
  /** Fully qualified, lower case, without the last dot. */
  readonly name: string;
  readonly type: RecordType;
}

export interface SrvRecord {
  /** Lower case, without the last dot; empty: there is no such service. */
  readonly target: string;
  readonly port: number;
  readonly priority: number;
  readonly weight: number;
}

/** What came of a question. */
export type Outcome =
  | {
      readonly tag: 'addresses';
      readonly addresses: readonly string[];
      readonly ttlSeconds: number;
    }
  | {
      readonly tag: 'services';
      readonly services: readonly SrvRecord[];
      readonly ttlSeconds: number;
    }
  /** The name is another's, and the answer does not say what that one stands for. */
  | { readonly tag: 'alias'; readonly name: string; readonly ttlSeconds: number }
  /** There is no such name, whatever the type. */
  | { readonly tag: 'no_name' }
  /** There is the name, and nothing of this type. */
  | { readonly tag: 'no_data' }
  /** The server says that it cannot tell. */
  | { readonly tag: 'refused'; readonly reason: string };

export type Reading =
  | { readonly tag: 'answer'; readonly outcome: Outcome }
  /** It did not fit: to be asked again over TCP. */
  | { readonly tag: 'truncated' }
  /** Not an answer to this question: a stray one, a forgery, or garbage. */
  | { readonly tag: 'foreign' };

/** Steps from alias to alias within one answer. */
export const CHAIN_MAX = 16;

/** Records taken of one answer. */
export const RECORDS_MAX = 1024;

/** @param id  16 bits that nobody can guess */
export function encodeQuestion(id: number, { name, type }: Question): Buffer {
  return encode({
    type: 'query',
    id,
    flags: RECURSION_DESIRED,
    questions: [{ name, type, class: 'IN' }],
  });
}

const FOREIGN: Reading = { tag: 'foreign' };

/** Without EDNS: an answer over UDP has 512 bytes, and what is larger comes over TCP. */
export function readAnswer(bytes: Buffer, id: number, question: Question): Reading {
  // What was cut off in the middle need not be readable.
  if (isTruncated(bytes, id)) return { tag: 'truncated' };
  let packet: DecodedPacket;
  try {
    packet = decode(bytes);
  } catch {
    return FOREIGN;
  }
  if (!isAnswerTo(packet, id, question)) return FOREIGN;
  return { tag: 'answer', outcome: outcomeOf(packet, codeOf(bytes), question) };
}

const HEADER_BYTES = 12;

/** TC is set, in an answer to the query of this id. */
function isTruncated(bytes: Buffer, id: number): boolean {
  if (bytes.length < HEADER_BYTES || bytes.readUInt16BE(0) !== id) return false;
  return (bytes.readUInt8(2) & 0x82) === 0x82;
}

/** RCODE */
function codeOf(bytes: Buffer): number {
  return bytes.readUInt8(3) & 0xf;
}

/** Source: RFC 5452 section 9.1 (addresses and ports are the socket's to check) */
function isAnswerTo(packet: DecodedPacket, id: number, { name, type }: Question): boolean {
  const [asked, another] = packet.questions ?? [];
  return (
    packet.type === 'response' &&
    packet.id === id &&
    another === undefined &&
    asked !== undefined &&
    asked.name.toLowerCase() === name &&
    asked.type === type &&
    asked.class === 'IN'
  );
}

const NO_ERROR = 0;
const NO_NAME = 3;
/** The names of those that are met. Source: RFC 1035 section 4.1.1 */
const REFUSALS = ['', 'FORMERR', 'SERVFAIL', '', 'NOTIMP', 'REFUSED'];

function outcomeOf(packet: DecodedPacket, code: number, question: Question): Outcome {
  if (code !== NO_ERROR && code !== NO_NAME) {
    return { tag: 'refused', reason: REFUSALS[code] ?? `code ${code}` };
  }
  const answers = (packet.answers ?? []).slice(0, RECORDS_MAX);
  let { name } = question;
  let ttlSeconds = Number.POSITIVE_INFINITY;
  for (let step = 0; step <= CHAIN_MAX; step += 1) {
    const found = recordsOf(answers, name, question.type);
    if (found !== null) {
      return { ...found, ttlSeconds: Math.min(ttlSeconds, found.ttlSeconds) };
    }
    const alias = aliasOf(answers, name);
    if (alias === null) break;
    ttlSeconds = Math.min(ttlSeconds, alias.ttlSeconds);
    name = alias.name;
  }
  // Of a chain of aliases, NXDOMAIN speaks of its last name. Source: RFC 6604 section 3
  if (code === NO_NAME) return { tag: 'no_name' };
  return name === question.name ? { tag: 'no_data' } : { tag: 'alias', name, ttlSeconds };
}

type Records = Extract<Outcome, { tag: 'addresses' | 'services' }>;

function recordsOf(answers: readonly Answer[], name: string, type: RecordType): Records | null {
  const addresses: string[] = [];
  const services: SrvRecord[] = [];
  let ttlSeconds = Number.POSITIVE_INFINITY;
  for (const answer of answers) {
    if (answer.type !== type || nameOf(answer.name) !== name) continue;
    if (answer.type === 'SRV') {
      const { target, port, priority = 0, weight = 0 } = answer.data;
      services.push({ target: nameOf(target), port, priority, weight });
    } else if (answer.type === 'A' || answer.type === 'AAAA') addresses.push(answer.data);
    else continue;
    ttlSeconds = Math.min(ttlSeconds, answer.ttl ?? 0);
  }
  if (services.length > 0) return { tag: 'services', services, ttlSeconds };
  return addresses.length > 0 ? { tag: 'addresses', addresses, ttlSeconds } : null;
}

function aliasOf(
  answers: readonly Answer[],
  name: string,
): { readonly name: string; readonly ttlSeconds: number } | null {
  for (const answer of answers) {
    if (answer.type !== 'CNAME' || nameOf(answer.name) !== name) continue;
    return { name: nameOf(answer.data), ttlSeconds: answer.ttl ?? 0 };
  }
  return null;
}

function nameOf(text: string): string {
  return text.toLowerCase().replace(/\.$/, '');
}
