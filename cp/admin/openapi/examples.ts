/** Entities to begin with, one per kind: shown in the document, and taken by the API as they are. */
import type { JsonObject } from '#shared/schema/field.ts';
import type { SchemaUse } from '#shared/schema/to-json-schema.ts';

/** Of nobody: its key was thrown away. */
const AUTHORITY = [
  '-----BEGIN CERTIFICATE-----',
  'MIIBgTCCASegAwIBAgIUZ8zdKlas3iOzTSF2hjNceRADWyIwCgYIKoZIzj0EAwIw',
  'FTETMBEGA1UEAwwKRXhhbXBsZSBDQTAgFw0yNjExMjQxNzM5MjBaGA8yMTI2MTAz',
  'MTE3MzkyMFowFTETMBEGA1UEAwwKRXhhbXBsZSBDQTBZMBMGByqGSM49AgEGCCqG',
  'SM49AwEHA0IABPzfK9OZern59ae1jP1ml+TdFzpwB8/KwVteFYbTFJUJQIeRAxbj',
  '6vBc1qzARaINV1j+eS5l+hPvi2heLrlN2LajUzBRMB0GA1UdDgQWBBSf4Zcheqik',
  'BsL5Pwwg8gpA/Vl/7TAfBgNVHSMEGDAWgBSf4ZcheqikBsL5Pwwg8gpA/Vl/7TAP',
  'BgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIBJKjHNqrmy6ONh9q2R5',
  'v6KmpHGRgdGeck/oSNK88lDPAiEA+lX397oN+QMLrEzkATw25+H2IoY/6D8q7q7e',
  'Kn6ptk8=',
  '-----END CERTIFICATE-----',
].join('\n');

const PUBLIC_KEY = [
  '-----BEGIN PUBLIC KEY-----',
  'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE/N8r05l6ufn1p7WM/WaX5N0XOnAH',
  'z8rBW14VhtMUlQlAh5EDFuPq8FzWrMBFog1XWP55LmX6E++LaF4uuU3Ytg==',
  '-----END PUBLIC KEY-----',
].join('\n');

const CERTIFICATE_ID = '4e8d95d4-40f2-4818-adf6-30e00c349618';
const ALICE = { consumer: { username: 'alice' } };

/** By kind. */
export const EXAMPLES: Readonly<Record<string, JsonObject>> = {
  workspaces: { name: 'team-a' },
  clustering_groups: { name: 'eu-edge', tags: ['eu'], labels: { region: 'eu-west' } },
  services: { name: 'orders', url: 'http://orders.internal:8080' },
  routes: { name: 'orders', hosts: ['api.example.com'], paths: ['/orders'] },
  consumers: { username: 'alice' },
  plugins: { name: 'rate-limiting', config: { minute: 60, policy: 'local' } },
  upstreams: { name: 'orders.internal', algorithm: 'round-robin' },
  targets: { target: '10.0.0.7:8080', weight: 100 },
  certificates: {
    id: CERTIFICATE_ID,
    cert: '{vault://env/orders-cert}',
    key: '{vault://env/orders-key}',
    snis: ['orders.example.com'],
  },
  snis: { name: '*.orders.example.com', certificate: { id: CERTIFICATE_ID } },
  ca_certificates: { cert: AUTHORITY },
  vaults: { prefix: 'team-a', name: 'env', config: { prefix: 'TEAM_A_' } },
  key_sets: { name: 'partners' },
  keys: { name: 'partner', kid: '1', set: { name: 'partners' }, pem: { public_key: PUBLIC_KEY } },
  acls: { ...ALICE, group: 'staff' },
  basicauth_credentials: { ...ALICE, username: 'alice', password: 'a-secret-of-alice' },
  hmacauth_credentials: { ...ALICE, username: 'alice' },
  jwt_secrets: { ...ALICE, key: 'alice', algorithm: 'RS256', rsa_public_key: PUBLIC_KEY },
  keyauth_credentials: { ...ALICE, key: 'a-secret-of-alice' },
  oauth2_credentials: { ...ALICE, name: 'app', client_id: 'app', hash_secret: true },
  oauth2_tokens: { credential: { client_id: 'app' }, expires_in: 7200, ttl: 7200 },
  sessions: { session_id: 'a-secret-of-a-browser', data: 'opaque', ttl: 3600 },
  acme_storage: { key: 'kong_acme:example', value: 'opaque' },
};

/** Something small that a PATCH may say. */
const CHANGE: JsonObject = { tags: ['team-a'] };

const UNTAGGED: ReadonlySet<string> = new Set([
  'acme_storage',
  'oauth2_tokens',
  'sessions',
  'workspaces',
]);

export function exampleOf(kind: string, use: SchemaUse): JsonObject | null {
  if (use === 'changed') return UNTAGGED.has(kind) ? null : CHANGE;
  return EXAMPLES[kind] ?? null;
}
