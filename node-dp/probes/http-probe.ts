/** The HTTP/1.1 part of a probe: a GET, and the status of its answer. */
import type { Socket } from 'node:net';
import type { ProbePlan } from './plan.ts';
import type { Settle } from './probe.ts';

/** Read before a status must have been there, interim answers included. */
export const HEAD_BYTES_MAX = 16 * 1024;

/** An answer without a status: Kong counts it as one that is unhealthy. */
const NO_STATUS = 0;

/** @param host  value of the Host field */
export function checkByHttp(plan: ProbePlan, host: string, socket: Socket, settle: Settle): void {
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
    const status = statusIn(text);
    if (status !== null) settle({ type: 'status', status });
    else if (text.length > HEAD_BYTES_MAX) settle({ type: 'status', status: NO_STATUS });
  });
  // What was sent before it closed counts; its end without a status is a failure to answer.
  socket.write(headOf(plan, host), 'latin1');
}

function headOf({ path, headers }: ProbePlan, host: string): string {
  const lines = [`GET ${path} HTTP/1.1`];
  if (!headers.some(([name]) => name.toLowerCase() === 'host')) lines.push(`Host: ${host}`);
  lines.push('Connection: close', ...headers.map(([name, value]) => `${name}: ${value}`), '', '');
  return lines.join('\r\n');
}

/** Of the first answer that is not interim; null: it is not there yet. */
function statusIn(text: string): number | null {
  let start = 0;
  for (;;) {
    const end = text.indexOf('\n', start);
    if (end < 0) return null;
    const line = /^HTTP\/\d\.\d (\d{3})(?:[ \r]|$)/.exec(text.slice(start, end));
    if (line === null) return NO_STATUS;
    const status = Number(line[1]);
    if (status < 100 || status >= 200 || status === 101) return status;
    const next = text.indexOf('\r\n\r\n', end - 1);
    if (next < 0) return null;
    start = next + 4;
  }
}
