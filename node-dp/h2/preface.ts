/** Whether a connection in clear begins as HTTP/2 (RFC 9113 section 3.4). */
import { MORE, type Verdict } from '../peek.ts';

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/** A judge for `peek`: it takes nothing. */
export function judgePreface(bytes: Buffer): Verdict<boolean> {
  const length = Math.min(bytes.length, PREFACE.length);
  if (bytes.compare(PREFACE, 0, length, 0, length) !== 0) return HTTP1;
  return bytes.length < PREFACE.length ? MORE : HTTP2;
}

const HTTP1 = { tag: 'known', value: false, taken: 0 } as const;
const HTTP2 = { tag: 'known', value: true, taken: 0 } as const;
