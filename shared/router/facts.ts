/** What a router knows of a request or a connection. Made once per request, never changed. */
import type { HeaderList } from '../http/headers.ts';

export interface RequestFacts {
  readonly method: string;
  /** Host header as received; null when there was none. */
  readonly host: string | null;
  /** Normalised, without query. */
  readonly path: string;
  /** Raw, without `?`; null when there was none. */
  readonly query: string | null;
  /** Of the connection. */
  readonly scheme: 'http' | 'https';
  /** As received. */
  readonly headers: HeaderList;
  readonly sni: string | null;
  /** Of the client, after trusted proxies were believed. */
  readonly sourceAddress: string;
  readonly sourcePort: number;
  /** Of the listener; a port in `host` wins where a route's host names one. */
  readonly address: string;
  readonly port: number;
}

/** The same of a TCP connection or a UDP session. */
export interface StreamFacts {
  /** `tls`: terminated here. `tls_passthrough`: only the name was read. */
  readonly protocol: 'tcp' | 'tls' | 'tls_passthrough' | 'udp';
  readonly sni: string | null;
  readonly sourceAddress: string;
  readonly sourcePort: number;
  readonly address: string;
  readonly port: number;
}
