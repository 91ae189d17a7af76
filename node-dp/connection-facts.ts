/** What is true of a client's connection, and so of all requests on it, whatever their protocol. */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { DownstreamTls, GatewayRequest } from '#shared/http/message.ts';
import { ConnectionTls } from './tls/peer-certificate.ts';

/** Who is connected to what. */
export type Addresses = Pick<
  GatewayRequest,
  'peerAddress' | 'peerPort' | 'localAddress' | 'localPort'
>;

export interface ConnectionFacts extends Addresses {
  readonly scheme: 'http' | 'https';
  readonly tls: DownstreamTls | null;
}

/** @param told  what a PROXY header says; null: the connection speaks for itself */
export function factsOf(socket: Socket, told: Addresses | null): ConnectionFacts {
  const isTls = socket instanceof TLSSocket;
  return {
    ...(told ?? addressesOf(socket)),
    scheme: isTls ? 'https' : 'http',
    tls: isTls ? new ConnectionTls(socket) : null,
  };
}

export function addressesOf(socket: Socket): Addresses {
  return {
    peerAddress: unmapped(socket.remoteAddress ?? ''),
    peerPort: socket.remotePort ?? 0,
    localAddress: unmapped(socket.localAddress ?? ''),
    localPort: socket.localPort ?? 0,
  };
}

/** `::ffff:10.0.0.1` is 10.0.0.1 as a dual-stack socket reports it. */
export function unmapped(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}
