/**
 * Waiting for the data planes: `?wait=applied&timeout=10`, or `Prefer: wait=10` (RFC 7240). The answer to a
 * write is the same as without, but for the headers that say who serves it.
 */
import { receiptHeaders } from '../receipts/receipt.ts';
import { WAIT_S_DEFAULT, WAIT_S_MAX } from '../receipts/receipts.ts';
import type { AdminContext, AdminRequest, AdminResponse } from './context.ts';
import { invalidOption, type AdminError } from './errors.ts';

export interface Wait {
  readonly seconds: number;
  readonly isPreference: boolean;
}

/**
 * @returns null when nobody wants to wait
 * @throws AdminError 400 before anything is written
 */
export function readWait({ query, raw }: Pick<AdminRequest, 'query' | 'raw'>): Wait | null {
  const wait = query.get('wait');
  if (wait !== null) {
    if (wait !== 'applied') throw invalidOption('wait', "expected 'applied'");
    return { seconds: readTimeout(query, WAIT_S_DEFAULT), isPreference: false };
  }
  // What is merely preferred, and not understood, is not an error.
  const preferred = /(?:^|[,;])\s*wait\s*=\s*"?(\d{1,9})"?\s*(?:$|[,;])/i.exec(
    raw.headers.get('prefer') ?? '',
  );
  if (preferred === null) return null;
  return { seconds: Math.min(WAIT_S_MAX, Number(preferred[1])), isPreference: true };
}

/** Seconds. */
export function readTimeout(query: URLSearchParams, fallback: number): number {
  const text = query.get('timeout');
  if (text === null) return fallback;
  const seconds = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && seconds <= WAIT_S_MAX) return seconds;
  throw invalidOption('timeout', `expected seconds, from 0 to ${WAIT_S_MAX}`);
}

/** Where a write is of no workspace's version, nobody could say when it is served. */
export function notAwaitable(): AdminError {
  return invalidOption('wait', 'only writes of entities can be waited for');
}

/** After the commit: whatever becomes of the waiting, the write is done. */
export async function awaitReceipt(
  { receipts }: Pick<AdminContext, 'receipts'>,
  wait: Wait | null,
  answer: AdminResponse,
  versions: ReadonlyMap<string, number>,
): Promise<AdminResponse> {
  if (wait === null) return answer;
  const receipt = await receipts.wait(versions, wait.seconds * 1000);
  const told = receipt === null ? { 'Headgate-Receipt': 'unknown' } : receiptHeaders(receipt);
  const applied = wait.isPreference ? { 'Preference-Applied': `wait=${wait.seconds}` } : {};
  return { ...answer, headers: { ...answer.headers, ...told, ...applied } };
}
