/** The two messages of an exchange, as the core sees them on every runtime (decision 16). */
import type { Abort, Tunnel } from '../platform/platform.ts';
import type { Body, BodyFilter } from './body.ts';
import type { HeaderList } from './headers.ts';

export interface GatewayRequest {
  /** As received, upper case. */
  readonly method: string;
  /** Raw request target in origin form: path and query, before any normalisation. */
  readonly target: string;
  readonly httpVersion: '1.0' | '1.1' | '2';
  readonly scheme: 'http' | 'https';
  /** As received. The core copies it before it changes anything. */
  readonly headers: HeaderList;
  readonly body: Body;
  /** The connected peer, before any header is believed. IPv4-mapped addresses are unmapped. */
  readonly peerAddress: string;
  readonly peerPort: number;
  /** Address and port that the client connected to; the empty string where nobody tells. */
  readonly localAddress: string;
  readonly localPort: number;
  readonly tls: DownstreamTls | null;
  /** Fires when the client goes away. */
  readonly abort: Abort;
  /**
   * Sends an interim response (1xx); null where the runtime cannot. 100-continue is the listener's
   * own affair and never reaches the core.
   */
  readonly sendInterim: ((status: number, headers: HeaderList) => void) | null;
  /** A switch that was asked for and that the listener can carry out; null for anything else. */
  readonly upgrade: 'websocket' | null;
}

export interface DownstreamTls {
  readonly serverName: string | null;
  readonly version: string;
  /** What the client showed; null when it was not asked, or had none. */
  readonly clientCertificate: PeerCertificate | null;
}

/** A client's certificate. Names are those of RFC 4514: `CN=a,O=b`. */
export interface PeerCertificate {
  readonly subject: string;
  readonly issuer: string;
  /** Hex, upper case. */
  readonly serial: string;
  /** SHA-256 of the certificate in DER form, hex. */
  readonly fingerprint: string;
  /** Null: it was verified; otherwise why it was not, or was not found good. */
  readonly fault: string | null;
  /** The certificate alone; null where the runtime does not show it. */
  readonly pem: string | null;
}

/** How an exchange ended, told once by the listener. */
export interface Outcome {
  /** False when the client or the upstream broke off before the last byte. */
  readonly complete: boolean;
  readonly bytesSent: number;
}

export interface GatewayResponse {
  readonly status: number;
  /** Complete; the listener only frames. It may replace Content-Length / Transfer-Encoding. */
  readonly headers: HeaderList;
  readonly body: Body;
  /** With a 101 only: what the listener joins the client's connection to. */
  readonly tunnel: Tunnel | null;
  /** Run over the body in order; with any, the length is unknown until the end. */
  readonly filters: readonly BodyFilter[];
  /** The listener calls it exactly once, when the exchange is over. Starts the log phase. */
  readonly onFinish: (outcome: Outcome) => void;
}
