/** Bytes in, bytes out: for what an HTTP client would not send. */
import { connect, type Socket } from 'node:net';

export interface RawAnswer {
  readonly text: string;
  /** Status of the first response; 0 when there was none. */
  readonly status: number;
  readonly closed: boolean;
}

const QUIET_MS = 150;
const GIVE_UP_MS = 5000;

/** Sends bytes and collects what comes back until the peer closes, or falls silent after an answer. */
export function sendRaw(port: number, ...parts: (string | Buffer)[]): Promise<RawAnswer> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    let text = '';
    let quiet: NodeJS.Timeout | null = null;
    const done = (closed: boolean): void => {
      clearTimeout(limit);
      if (quiet !== null) clearTimeout(quiet);
      socket.destroy();
      resolve({ text, closed, status: Number(/^HTTP\/1\.\d (\d{3})/.exec(text)?.[1] ?? '0') });
    };
    const limit = setTimeout(() => done(false), GIVE_UP_MS);
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      if (quiet !== null) clearTimeout(quiet);
      quiet = setTimeout(() => done(false), QUIET_MS);
    });
    socket.on('error', () => done(true));
    socket.on('end', () => done(true));
    writeAll(socket, parts);
  });
}

function writeAll(socket: Socket, parts: readonly (string | Buffer)[]): void {
  for (const part of parts) socket.write(part);
}
