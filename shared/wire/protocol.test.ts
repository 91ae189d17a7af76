import { describe, expect, it } from 'vitest';
import { hex } from '../base/bytes.ts';
import { canonicalJson } from '../config/canonical.ts';
import { nodeCrypto as crypto } from '../platform/node/crypto.ts';
import { decodeDownFrame, decodeUpFrame, encodeFrame } from './codec.ts';
import { DOWN_FRAMES, UP_FRAMES, type DownFrame, type FrameOf, type UpFrame } from './frames.ts';
import {
  FRAME_LENGTH_MAX,
  PROTOCOL_VERSION,
  PROTOCOL_VERSION_MIN,
  UP_FRAME_LENGTH_MAX,
} from './protocol.ts';
import { DOWN_METHODS, UP_METHODS } from './rpc-methods.ts';

/** Protocol version → hash of all frame definitions. A version once released keeps its hash. */
const RELEASED: Readonly<Record<number, string>> = {
  1: '2b82a3d7ea14fa923556b68f0ba2f9d99f7f6ec1a10bceff9ea1be555a0e2ac9',
  2: '17afb7d7344f44b1da710ba1bb6546cd6b54a14973eddef51995cb96fd7695d5',
  3: 'f2759b86093a3d733e9ee1b3dbf927e3fb3a8ba4c5404d10dfe0501006621693',
};

/** Method → start of the hash of its definition. A new method is a new line; nothing else changes. */
const METHODS: Readonly<Record<string, string>> = {
  log_level: '8c04f91465c21213',
  drain: '30ac488c29ff16db',
  cache_purge: '4fb269dc645562f7',
  target_health: 'aefc30c1172373b4',
  counters: 'd55f6cdc513cc7bb',
  freshness: '061ac9c32bbe959d',
  renew_key: '3c8ce668fdb6c548',
  head: '367b86238a372baa',
  rotate_key: 'a41acb6c54437419',
};

const position = { epoch: 1, revision: 2, hash: 'a'.repeat(64) };
const signed = { manifest: 'm', signature: 's', key_list: 'k', key_list_signature: 's' };
const uuid = '00000000-0000-4000-8000-000000000001';
const about = {
  hostname: 'h',
  version: '1',
  runtime: 'edge',
  labels: { zone: 'a' },
  features: ['f'],
} as const;

const UP: readonly UpFrame[] = [
  {
    type: 'hello',
    protocol: 1,
    node: uuid,
    group: 'g',
    host: 'h',
    nonce: 'n',
    join_seq: 0,
    position: { epoch: 0, revision: 0, hash: '' },
    level: 1,
    about: { ...about, labels: null },
    signature: 's',
  },
  {
    type: 'enrol',
    protocol: 1,
    token: 't',
    host: 'h',
    nonce: 'n',
    public_key: 'p',
    sealing_key: 's',
    level: 1,
    about,
    proof: 'p',
    signature: 's',
  },
  { type: 'want', ids: ['b'.repeat(64)] },
  { type: 'ack', position, persisted: false, quarantined: [{ kind: 'k', id: 'i', reason: 'r' }] },
  { type: 'nack', position, code: 'crashed', entity: null, detail: '' },
  { type: 'nack', position, code: 'build_failed', entity: { kind: 'k', id: 'i' }, detail: 'd' },
  { type: 'status', join_seq: 1, position, last_error: null },
  { type: 'ping', position },
  {
    type: 'health',
    reset: true,
    upstreams: [
      {
        ws: uuid,
        name: 'u',
        health: 'HEALTHY',
        balancer: 'HEALTHY',
        targets: [
          {
            target: 'a:80',
            weight: 1,
            dns: 'SRV',
            health: 'UNHEALTHY',
            addresses: [{ ip: '10.0.0.1', port: 80, weight: 2.5, health: 'UNHEALTHY' }],
          },
          { target: 'b:80', weight: 0, dns: null, health: 'DNS_ERROR', addresses: [] },
        ],
        dropped: 0,
      },
    ],
    gone: [{ ws: uuid, name: 'v' }],
  },
];

/** Both ways. */
const RPC: readonly (FrameOf<'call'> | FrameOf<'result'>)[] = [
  { type: 'call', id: 1, method: 'm', params: '{}' },
  { type: 'result', id: 1, ok: true, value: '{}', error: null },
  { type: 'result', id: 1, ok: false, value: null, error: { code: 'busy', detail: '' } },
];

const DOWN: readonly DownFrame[] = [
  {
    type: 'challenge',
    protocol: 1,
    protocol_min: 1,
    cluster: uuid,
    nonce: 'n',
    time: 1,
    root_key: 'r',
    key_list: 'k',
    key_list_signature: 's',
  },
  {
    type: 'welcome',
    protocol: 1,
    cluster: uuid,
    node: uuid,
    group: 'g',
    group_id: uuid,
    join_seq: 1,
    level: 1,
    ping_interval_ms: 10_000,
    group_secrets: [{ generation: 1, sealed: 's' }],
    control_planes: [],
  },
  { type: 'manifest', head: signed },
  {
    type: 'delta',
    base: position,
    head: signed,
    upserts: ['{}'],
    removals: [{ kind: 'k', ws: 'w', id: 'i', placement: 'p' }],
  },
  { type: 'shards', nodes: [{ id: 'i', text: 'leaf\n{}' }], missing: ['x'] },
  { type: 'pong', position },
  { type: 'goaway', retry_after_ms: 1, control_planes: ['wss://b'] },
];

describe('the protocol', () => {
  it('changes no frame without a new version', () => {
    const hash = hex(crypto.sha256(canonicalJson({ down: DOWN_FRAMES, up: UP_FRAMES })));
    const hint = 'raise PROTOCOL_VERSION, add a line to its history, and pin the new hash here';
    expect(RELEASED[PROTOCOL_VERSION], hint).toBe(hash);
  });

  it('changes no method that a release has', () => {
    const defined = Object.entries({ ...DOWN_METHODS, ...UP_METHODS });
    const hashes = defined.map(([name, { params, result }]) => [
      name,
      hex(crypto.sha256(canonicalJson({ params, result }))).slice(0, 16),
    ]);
    const hint = 'a method of another shape is another method: give it another name';
    expect(Object.fromEntries(hashes), hint).toEqual(METHODS);
  });

  it('knows all versions that it claims to speak', () => {
    for (let version = PROTOCOL_VERSION_MIN; version <= PROTOCOL_VERSION; version++) {
      expect(RELEASED[version]).toMatch(/^[0-9a-f]{64}$/);
    }
  });

  it('has a sample of every frame in this test', () => {
    const typesOf = (frames: readonly { type: string }[]) =>
      new Set(frames.map(({ type }) => type));
    expect(typesOf([...UP, ...RPC])).toEqual(new Set(Object.keys(UP_FRAMES)));
    expect(typesOf([...DOWN, ...RPC])).toEqual(new Set(Object.keys(DOWN_FRAMES)));
  });
});

const BOOLEANS = new Set(['persisted', 'reset', 'ok']);
const OPTIONAL = new Set(['entity', 'last_error', 'value', 'error']);

describe('the codec', () => {
  it.each(UP)('gives back what a node sent: $type', (frame) => {
    expect(decodeUpFrame(encodeFrame(frame))).toEqual({ ok: true, frame });
    expect(decodeDownFrame(encodeFrame(frame))).toEqual({ ok: false, error: 'unknown type' });
  });

  it.each(DOWN)('gives back what a control plane sent: $type', (frame) => {
    expect(decodeDownFrame(encodeFrame(frame))).toEqual({ ok: true, frame });
    expect(decodeUpFrame(encodeFrame(frame))).toEqual({ ok: false, error: 'unknown type' });
  });

  it.each(RPC)('gives back what either end sent: $type', (frame) => {
    expect(decodeDownFrame(encodeFrame(frame))).toEqual({ ok: true, frame });
    expect(decodeUpFrame(encodeFrame(frame))).toEqual({ ok: true, frame });
  });

  it.each([...UP, ...DOWN, ...RPC])(
    'refuses $type with a field missing, added, or of another type',
    (frame) => {
      const decode = UP.some((up) => up === frame) ? decodeUpFrame : decodeDownFrame;
      expect(decode(JSON.stringify({ ...frame, surprise: 1 })).ok).toBe(false);
      for (const name of Object.keys(frame)) {
        const { [name as 'type']: _, ...rest } = frame;
        expect(decode(JSON.stringify(rest)).ok).toBe(OPTIONAL.has(name));
        for (const value of [true, -1, 1.5, [[]], { a: {} }]) {
          if (BOOLEANS.has(name) && value === true) continue;
          expect(decode(JSON.stringify({ ...rest, [name]: value })).ok).toBe(false);
        }
      }
    },
  );

  it.each([
    '',
    'null',
    '1',
    '[]',
    '"ping"',
    '{}',
    '{"type":null}',
    '{"type":"__proto__"}',
    '{"type":"constructor"}',
    '{"type":["ping"]}',
    '{"__proto__":{"type":"ping"}}',
    '{"type":"ping"',
    `${'['.repeat(50_000)}`,
  ])('answers an error for %.40j, never an exception', (text) => {
    expect(decodeUpFrame(text).ok).toBe(false);
    expect(decodeDownFrame(text).ok).toBe(false);
  });

  it('never repeats in an error what the peer wrote', () => {
    const decoded = decodeUpFrame('{"type":"ping","secret-of-mine":"x"}');
    expect(decoded.ok ? '' : decoded.error).not.toContain('secret-of-mine');
  });

  it('looks at the length before anything else', () => {
    const ping = encodeFrame({ type: 'ping', position });
    const pong = encodeFrame({ type: 'pong', position });
    expect(decodeUpFrame(ping.padEnd(UP_FRAME_LENGTH_MAX)).ok).toBe(true);
    expect(decodeUpFrame(ping.padEnd(UP_FRAME_LENGTH_MAX + 1)).ok).toBe(false);
    expect(decodeDownFrame(pong.padEnd(FRAME_LENGTH_MAX)).ok).toBe(true);
    expect(decodeDownFrame(pong.padEnd(FRAME_LENGTH_MAX + 1)).ok).toBe(false);
  });
});
