/**
 * Versions of the sync protocol. A change to any frame raises `PROTOCOL_VERSION` and adds a line to
 * the history; `protocol.test.ts` pins the hash of all frame definitions, so it cannot be forgotten.
 *
 * 1  2026-11  challenge, hello, enrol, welcome, manifest, delta, want, shards, ack, nack, status, ping
 * 2  2026-11  health, target_health
 * 3  2026-11  call, result; target_health is a method
 */
export const PROTOCOL_VERSION = 3;

/** From this version on nodes report health. */
export const HEALTH_PROTOCOL = 2;

/** From this version on both ends may call the other's methods. */
export const RPC_PROTOCOL = 3;

/** Oldest version that this release still speaks. */
export const PROTOCOL_VERSION_MIN = 1;

/** Path of the WebSocket endpoint, below whatever prefix the listener gives it (decision 27). */
export const SYNC_PATH = '/headgate/v1/sync';

/** `GET` answers a challenge frame; `POST {hello, frames}` answers `{frames}`: the same content. */
export const PULL_PATH = '/headgate/v1/pull';

/** Longest text of one frame, in UTF-16 units. What does not fit is sent in several `shards`. */
export const FRAME_LENGTH_MAX = 8 * 1024 * 1024;

/** Longest frame a control plane takes from a node. */
export const UP_FRAME_LENGTH_MAX = 256 * 1024;

/** Aim for one `shards` frame. */
export const SHARDS_LENGTH_TARGET = 512 * 1024;

/** Node ids asked for in one `want`. */
export const WANT_COUNT_MAX = 256;

/** Milliseconds between two pings of a data plane; both ends hang up after two and a half. */
export const PING_INTERVAL_MS = 10_000;
export const SILENCE_MAX_MS = 25_000;

/** Longest JSON text of what a method is given, and of what it answers, in UTF-16 units. */
export const RPC_TEXT_LENGTH_MAX = 64 * 1024;
