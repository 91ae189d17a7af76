/** A connection or UDP session: what its listener, its plugins and its log entry know of it. */
import type { Route } from '../entities/route.ts';
import type { Service } from '../entities/service.ts';
import type { Abort, Platform, Tunnel } from '../platform/platform.ts';
import type { Try } from './log-entry.ts';

/** What a listener has accepted. */
export interface StreamSession {
  /** `tls`: the client speaks TLS, and nothing of it was answered yet. */
  readonly protocol: 'tcp' | 'tls' | 'udp';
  /** Of a TLS client, lower case; null when it names none. */
  readonly serverName: string | null;
  /** The client, as told by the PROXY protocol where the listener believes it. */
  readonly peerAddress: string;
  readonly peerPort: number;
  /** What it connected to. */
  readonly localAddress: string;
  readonly localPort: number;
  /** Fires when the client goes away. */
  readonly abort: Abort;
  /**
   * Speaks TLS with the client from here on; for `tls` only.
   * @throws (as a rejection) when the handshake fails
   */
  terminateTls(): Promise<void>;
}

/** How a session ended, told once by the listener. */
export interface StreamOutcome {
  /** False when one side or time broke it off. */
  readonly complete: boolean;
  /** Why, in one word: `ended`, `idle`, `client_reset` … */
  readonly end: string;
  readonly bytesFromClient: number;
  readonly bytesToClient: number;
}

/** What the listener joins the client to. */
export interface StreamAnswer {
  readonly tunnel: Tunnel;
  /** The listener calls it exactly once, when the session is over. Starts the log phase. */
  readonly onFinish: (outcome: StreamOutcome) => void;
}

/** What a plugin sees. */
export interface StreamContext {
  readonly platform: Platform;
  readonly session: StreamSession;
  readonly route: Route;
  readonly service: Service | null;
  /** Workspace id. */
  readonly workspace: string;
}

/** A plugin's no, with a word for the log. */
export interface StreamRefusal {
  readonly reason: string;
}

/** Kong's names where Kong has one. No byte of what was carried. */
export interface StreamLogEntry {
  readonly session_id: string;
  /** Epoch milliseconds. */
  readonly started_at: number;
  readonly client_ip: string;
  readonly session: {
    readonly protocol: 'tcp' | 'tls' | 'tls_passthrough' | 'udp';
    readonly sni: string | null;
    readonly server_port: number;
    /** 200: it was joined to an upstream. 500: it was closed instead. As in Kong. */
    readonly status: 200 | 500;
    /** Bytes from the client; to the client. */
    readonly received: number;
    readonly sent: number;
    readonly complete: boolean;
    /** Why it ended, or why it was closed. */
    readonly end: string;
  };
  /** Milliseconds. */
  readonly latencies: {
    readonly session: number;
    /** Connecting; -1 when nobody was connected to. */
    readonly proxy: number;
    /** Ours, before the upstream was dialled. */
    readonly gateway: number;
  };
  readonly workspace: string | null;
  readonly route: { readonly id: string; readonly name: string | null } | null;
  readonly service: { readonly id: string; readonly name: string | null } | null;
  readonly tries: readonly Try[];
}
