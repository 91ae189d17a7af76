/** WebSocket close codes of the sync protocol, what they mean and whether to come back. */
export const CLOSE = {
  /** Orderly end; reconnect as usual. */
  normal: 1000,
  /** This control plane stops or sheds load: go to another one, after `retry_after_ms` if given. */
  goAway: 1001,
  /** The peer broke the protocol. */
  protocolError: 4400,
  /** Unknown node, wrong signature, spent or expired token. Retry slowly, and loudly. */
  unauthorized: 4401,
  /** The node was revoked. Retry slowly, and loudly; keep serving. */
  revoked: 4403,
  /** No common protocol version. Retry slowly. */
  incompatible: 4406,
  /** Nothing was heard for too long. */
  silent: 4408,
  /** A newer session of the same node took over. */
  superseded: 4409,
  /** Too much at once; retry after the time given in the reason (`retry_after_ms=…`). */
  overloaded: 4429,
} as const;

export type CloseCode = (typeof CLOSE)[keyof typeof CLOSE];

/** Codes after which a node waits the long way, because trying again soon cannot help. */
export const SLOW_RETRY: readonly number[] = [
  CLOSE.unauthorized,
  CLOSE.revoked,
  CLOSE.incompatible,
];
