/** A connection's first bytes, looked at before it is known who is to read them. */
import type { Socket } from 'node:net';

/** `taken`: bytes that whoever comes next does not get to see. */
export type Verdict<T> =
  | { readonly tag: 'more' }
  | { readonly tag: 'refused' }
  | { readonly tag: 'known'; readonly value: T; readonly taken: number };

export const MORE = { tag: 'more' } as const;
export const REFUSED = { tag: 'refused' } as const;

/**
 * Reads until `judge` knows, and puts back what it did not take. The judge bounds the bytes; a
 * connection that is refused, ends or takes longer is closed without a word.
 */
export function peek<T>(
  socket: Socket,
  timeoutMs: number,
  judge: (bytes: Buffer) => Verdict<T>,
  known: (value: T) => void,
): void {
  let bytes: Buffer = Buffer.alloc(0);
  const timer = setTimeout(() => socket.destroy(), timeoutMs);
  const stop = (): void => {
    clearTimeout(timer);
    socket.off('readable', read);
    socket.off('end', give);
    socket.off('close', stop);
  };
  const give = (): void => {
    stop();
    socket.destroy();
  };
  const read = (): void => {
    // `read` answers a Buffer unless an encoding was set.
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) return;
    bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
    const verdict = judge(bytes);
    if (verdict.tag === 'more') return;
    if (verdict.tag === 'refused') return give();
    stop();
    if (bytes.length > verdict.taken) socket.unshift(bytes.subarray(verdict.taken));
    known(verdict.value);
  };
  socket.on('error', ignore);
  socket.on('end', give);
  socket.on('close', stop);
  socket.on('readable', read);
}

function ignore(): void {}
