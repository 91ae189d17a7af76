/** The TLS side of one port: from a connection to one that is secured, or to none. */
import type { Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import type { PemPair } from '#shared/platform/node/tls/self-signed.ts';
import type { CertificateTable } from '#shared/tables/certificates.ts';
import { MORE, peek, type Verdict } from '../peek.ts';
import { readClientHello } from '../stream/client-hello.ts';
import type { TlsTermination } from './termination.ts';

const HANDSHAKE_MS = 10_000;
/** Servers that never listen, one per certificate. Each takes some 50 kB. */
export const SERVERS_MAX = 1024;

/** A fatal alert, `handshake_failure` (RFC 8446 section 6), in a record of its own. */
const FAILURE_ALERT = Buffer.from([21, 3, 3, 0, 2, 2, 40]);

export interface AcceptorOptions {
  /** Protocols, ours in order of preference. */
  readonly alpn: readonly string[];
  /** From the first byte to the end of the handshake, each half of it. Default 10 s. */
  readonly handshakeMs?: number;
  readonly serversMax?: number;
  /** The handshake is done, and the client admitted. */
  secured(socket: TLSSocket): void;
}

export class TlsAcceptor {
  readonly #termination: TlsTermination;
  readonly #options: AcceptorOptions;
  readonly #fallback: Server;
  /** Least recently used first. Tables keep the object of a certificate that has not changed. */
  readonly #servers = new Map<CertificateTable, Server>();
  readonly #stops: (() => void)[];

  constructor(termination: TlsTermination, options: AcceptorOptions) {
    this.#termination = termination;
    this.#options = options;
    this.#fallback = this.#create(termination.fallback);
    this.#stops = [
      termination.onFallback((pair) => this.#fallback.setSecureContext(this.#withKeys(pair))),
      termination.tickets.follow((keys) => {
        for (const server of [this.#fallback, ...this.#servers.values()]) {
          server.setTicketKeys(keys);
        }
      }),
    ];
  }

  get serverCount(): number {
    return this.#servers.size;
  }

  accept(socket: Socket): void {
    peek(socket, this.#options.handshakeMs ?? HANDSHAKE_MS, judge, (name) => {
      const server = this.#serverFor(name);
      // One documents that connections may be handed to it this way.
      if (server !== null) server.emit('connection', socket);
      else socket.end(FAILURE_ALERT, () => socket.destroy());
    });
  }

  close(): void {
    for (const stop of this.#stops) stop();
    this.#servers.clear();
  }

  /** Null: the name has a certificate that must not be served, and gets no other one. */
  #serverFor(serverName: string | null): Server | null {
    const found = this.#termination.find(serverName);
    if (found === null) return this.#fallback;
    if (found.fault !== null) return null;
    const known = this.#servers.get(found);
    let server: Server;
    try {
      server = known ?? this.#create(found);
    } catch {
      return null; // Checked when the tables were built; whatever it is, the name stays closed.
    }
    if (known !== undefined) this.#servers.delete(found);
    this.#servers.set(found, server);
    const [oldest] = this.#servers.keys();
    const countMax = this.#options.serversMax ?? SERVERS_MAX;
    if (this.#servers.size > countMax && oldest !== undefined) this.#servers.delete(oldest);
    return server;
  }

  #create(pair: PemPair | CertificateTable): Server {
    const server = createServer({
      ...this.#withKeys(pair),
      ALPNProtocols: [...this.#options.alpn],
      handshakeTimeout: this.#options.handshakeMs ?? HANDSHAKE_MS,
      requestCert: this.#termination.asksClients,
      // Decided in `admits`, which knows of more than yes and no.
      rejectUnauthorized: false,
    });
    server.on('secureConnection', (socket) => {
      if (this.#termination.admits(socket)) this.#options.secured(socket);
      else socket.destroy();
    });
    server.on('tlsClientError', (_error, socket) => socket.destroy());
    return server;
  }

  #withKeys(pair: PemPair | CertificateTable) {
    const { common, tickets } = this.#termination;
    const alt = 'alt' in pair ? pair.alt : null;
    return {
      ...common,
      cert: alt === null ? pair.cert : [pair.cert, alt.cert],
      key: alt === null ? pair.key : [pair.key, alt.key],
      ticketKeys: tickets.current,
    };
  }
}

/** What is no ClientHello to us is for OpenSSL to refuse, with the alert that is due. */
function judge(bytes: Buffer): Verdict<string | null> {
  const hello = readClientHello(bytes);
  if (hello.tag === 'more') return MORE;
  return { tag: 'known', value: hello.tag === 'hello' ? hello.serverName : null, taken: 0 };
}
