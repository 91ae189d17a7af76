/**
 * Schema levels: a named, fixed shape of all records. A release reads its own level and every one below;
 * control planes publish each configuration at their own level and at the one before it, so that nodes
 * of the previous release, and control planes that go back to it, find what they know.
 *
 * 1  2026-11  the first
 */
export const SCHEMA_LEVEL = 1;
