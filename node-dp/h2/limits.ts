/**
 * What one HTTP/2 connection may cost. nghttp2 and Node bound some of it (continuations, unanswered
 * pings and settings, header bytes); the rest is counted here.
 */
import { HEAD_BYTES_MAX } from '../engine.ts';
import { HEADER_COUNT_MAX } from '../request.ts';

export interface H2Limits {
  /** No first request for this long: as the head timeout of HTTP/1.1. */
  readonly firstRequestMs: number;
  /** No request for this long. */
  readonly keepAliveMs: number;
  /** Streams that end before their answer does: so many at once, then so many a second. */
  readonly brokenStreamsBurst: number;
  readonly brokenStreamsPerSecond: number;
  /** Bytes beyond what requests, bodies and answers explain: so many at once, then so many a second. */
  readonly overheadBurst: number;
  readonly overheadPerSecond: number;
  /** PING and SETTINGS frames between two looks at the connection. */
  readonly controlFramesMax: number;
}

export const H2_LIMITS: H2Limits = {
  firstRequestMs: 10_000,
  keepAliveMs: 60_000,
  brokenStreamsBurst: 1000,
  brokenStreamsPerSecond: 33,
  overheadBurst: 1024 * 1024,
  overheadPerSecond: 64 * 1024,
  controlFramesMax: 1000,
};

/** Streams open at a time on a connection, as nginx has it. */
export const STREAMS_MAX = 128;
/** Of a request's head, in the way that RFC 9113 section 6.5.2 counts: 32 bytes for each field. */
export const HEADER_LIST_BYTES_MAX = HEAD_BYTES_MAX + 32 * HEADER_COUNT_MAX;
/** Fields as they come; cookies may come in crumbs, which are one field afterwards. */
export const HEADER_PAIRS_MAX = 2 * HEADER_COUNT_MAX;
/** Bytes of bodies that a client may send ahead: on one stream, and on all of a connection. */
export const STREAM_WINDOW_BYTES = 64 * 1024;
export const CONNECTION_WINDOW_BYTES = 1024 * 1024;
/** MB that Node may hold for one connection. */
export const SESSION_MEMORY_MB = 16;
/** Frames that are none, and streams beyond the bound, before the connection ends. */
export const INVALID_FRAMES_MAX = 100;
