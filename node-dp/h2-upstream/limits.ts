/** What one target may cost over HTTP/2. */

/** Connections to one target; requests beyond what they take wait for a place. */
export const SESSIONS_MAX = 16;
/** Streams on one connection, however many more the target allows. */
export const STREAMS_MAX = 1024;
/** As over HTTP/1.1: Kong's `upstream_keepalive_max_requests` and `_idle_timeout`. */
export const REQUESTS_PER_SESSION_MAX = 10_000;
export const KEEP_ALIVE_MS = 60_000;
/** Bytes that a target may send ahead: on one stream, and on all of a connection. */
export const STREAM_WINDOW_BYTES = 128 * 1024;
export const CONNECTION_WINDOW_BYTES = 4 * 1024 * 1024;
export const RESPONSE_HEAD_BYTES_MAX = 64 * 1024;
export const RESPONSE_FIELDS_MAX = 1000;
export const SESSION_MEMORY_MB = 64;
export const INVALID_FRAMES_MAX = 100;
/** Interim responses (1xx) before the one that counts. */
export const INTERIM_MAX = 32;
