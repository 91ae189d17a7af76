/** What the tests of TLS share: listeners with a termination, and clients that look closely. */
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { utf8 } from '#shared/base/bytes.ts';
import { HeaderList } from '#shared/http/headers.ts';
import type { GatewayRequest, GatewayResponse } from '#shared/http/message.ts';
import { loadSettings } from '#shared/platform/node/env.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import type { PemPair } from '#shared/platform/node/tls/self-signed.ts';
import { DATA_PLANE_SETTINGS, type DataPlaneSettings } from '#shared/settings/data-plane.ts';
import type { Certificates } from '#shared/tables/certificates.ts';
import { Listener } from '../listener.ts';
import { readPolicy } from './policy.ts';
import { type ClientVerification, TlsTermination } from './termination.ts';

export function settingsOf(env: Readonly<Record<string, string>> = {}): DataPlaneSettings {
  return loadSettings(DATA_PLANE_SETTINGS, env);
}

export function terminationOf(
  fallback: PemPair,
  more: {
    readonly env?: Readonly<Record<string, string>>;
    readonly clients?: ClientVerification;
    readonly certificates?: () => Certificates | null;
  } = {},
): TlsTermination {
  return new TlsTermination({
    policy: readPolicy(settingsOf(more.env)),
    clients: more.clients ?? null,
    fallback,
    certificates: more.certificates ?? (() => null),
  });
}

export interface TestListener {
  readonly port: number;
  readonly seen: GatewayRequest[];
  close(): Promise<void>;
}

/** Answers every request with 200 and `hello`. */
export async function listenWith(tls: TlsTermination): Promise<TestListener> {
  const seen: GatewayRequest[] = [];
  const listener = new Listener({
    listen: { host: '127.0.0.1', port: 0, tls: true },
    tls,
    connectionsMax: 100,
    random: nodeRandom,
    handle: (received): GatewayResponse => {
      seen.push(received);
      return {
        status: 200,
        headers: new HeaderList(),
        body: utf8('hello'),
        tunnel: null,
        filters: [],
        onFinish: () => {},
      };
    },
  });
  const { port } = await listener.start();
  return { port, seen, close: () => listener.drain(0) };
}

/**
 * A connection, after its handshake and one answered request: only then is it sure that the other side
 * keeps it.
 * @throws when it comes to nothing
 */
export async function visit(port: number, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options });
  try {
    await once(socket, 'secureConnect');
    await ask(socket);
  } catch (error) {
    socket.destroy();
    throw error;
  }
  return socket;
}

/** One request on an open connection; answers the status line. */
export async function ask(socket: TLSSocket): Promise<string> {
  socket.write('GET / HTTP/1.1\r\nHost: h\r\n\r\n');
  const [bytes] = await once(socket, 'data');
  return String(bytes).split('\r\n', 1)[0] ?? '';
}

function once(socket: TLSSocket, event: string): Promise<unknown[]> {
  return new Promise((resolve, reject) => {
    const failed = (error?: Error): void => reject(error ?? new Error('the connection was closed'));
    socket.once(event, (...args: unknown[]) => {
      socket.off('error', failed);
      socket.off('close', failed);
      resolve(args);
    });
    socket.once('error', failed);
    socket.once('close', () => failed());
  });
}

/** Common name of what a server shows to whoever asks for `servername`. */
export async function shownAt(port: number, servername: string | null): Promise<string> {
  const socket = await visit(port, servername === null ? {} : { servername });
  const { subject } = socket.getPeerCertificate();
  socket.destroy();
  return String(subject.CN);
}
