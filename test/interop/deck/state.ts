/** State files for decK: every kind of entity that it and Kong 3.9 OSS both know. */
import { createPublicKey, randomUUID } from 'node:crypto';
import { makeCertificate, makeRsaKeys } from '../support/certificates.ts';
import { PLUGIN_CONFIGS } from './plugins.ts';

export type Json = Record<string, unknown>;
export type State = Record<string, unknown>;

const SERVICES = 20;
const CONSUMERS = 20;
/** Plugins that Kong attaches to nothing narrower than all, or that would mean something else there. */
const GLOBAL_PLUGINS = ['prometheus', 'correlation-id', 'acme', 'bot-detection'];

/** Some 300 entities. Key pairs are fresh ones: two calls differ in them. */
export function fullState(): State {
  const rsa = makeRsaKeys();
  return {
    _format_version: '3.0',
    services: services(),
    consumers: range(CONSUMERS).map((i) => consumer(i, rsa.publicKey)),
    upstreams: range(10).map(upstream),
    certificates: range(4).map(certificate),
    ca_certificates: range(2).map((i) => ({ cert: makeCertificate(`ca-${i}`, true).cert })),
    vaults: range(2).map((i) => ({
      name: 'env',
      prefix: `interop-env-${i}`,
      description: `Environment ${i}`,
      config: { prefix: `interop_${i}_` },
    })),
    // Without tags: decK compares those of a key's set with a bare reference, and sees a difference.
    key_sets: range(2).map((i) => ({ name: `set-${i}` })),
    keys: keys(rsa),
    plugins: [...GLOBAL_PLUGINS.map((name) => plugin(name)), wide()],
  };
}

/** Entities in a state file, nested ones included, workspace and format apart. */
export function countEntities(value: unknown): number {
  if (!isJson(value)) return 0;
  return Object.entries(value).reduce((sum, [name, inner]) => {
    if (!isList(inner) || !ENTITY_LISTS.has(name)) return sum;
    // A route's `snis` are names, not entities.
    return sum + inner.filter(isJson).reduce((all, one) => all + 1 + countEntities(one), 0);
  }, 0);
}

/** What decK nests or lists as entities of their own. */
const ENTITY_LISTS: ReadonlySet<string> = new Set([
  'services',
  'routes',
  'plugins',
  'consumers',
  'acls',
  'basicauth_credentials',
  'hmacauth_credentials',
  'jwt_secrets',
  'keyauth_credentials',
  'oauth2_credentials',
  'upstreams',
  'targets',
  'certificates',
  'snis',
  'ca_certificates',
  'vaults',
  'key_sets',
  'keys',
]);

/** The plugins that no other place takes are dealt to the services and their routes, two each. */
function services(): Json[] {
  const names = Object.keys(PLUGIN_CONFIGS).filter((name) => !GLOBAL_PLUGINS.includes(name));
  const dealt = (slot: number): Json[] =>
    names.filter((_, i) => i % (SERVICES * 2) === slot).map((name) => plugin(name));
  return range(SERVICES).map((i) => ({
    name: `service-${i}`,
    host: `service-${i}.example.com`,
    port: 8000 + i,
    path: '/base',
    protocol: i % 2 === 0 ? 'http' : 'https',
    retries: i,
    read_timeout: 1000 + i,
    tags: ['interop', `service-${i}`],
    plugins: dealt(i * 2),
    routes: [
      {
        name: `route-${i}-a`,
        paths: [`/a/${i}`, `~/v\\d+/${i}$`],
        methods: ['POST', 'GET'],
        strip_path: false,
        plugins: dealt(i * 2 + 1),
      },
      {
        name: `route-${i}-b`,
        hosts: [`b-${i}.example.com`, `*.b-${i}.example.com`],
        headers: { 'x-version': [`${i}`, 'beta'] },
        protocols: ['https'],
        snis: [`b-${i}.example.com`],
        https_redirect_status_code: 301,
        regex_priority: i,
        tags: ['interop'],
      },
    ],
  }));
}

function consumer(i: number, publicKey: string): Json {
  return {
    username: `consumer-${i}`,
    custom_id: `custom-${i}`,
    tags: ['interop', `tier-${i % 3}`],
    keyauth_credentials: [{ key: `key-${i}`, tags: ['first'] }, { key: `second-key-${i}` }],
    basicauth_credentials: [{ username: `user-${i}`, password: `password-${i}` }],
    hmacauth_credentials: [{ username: `hmac-${i}`, secret: `hmac-secret-${i}` }],
    jwt_secrets: [
      i % 2 === 0
        ? { key: `issuer-${i}`, algorithm: 'HS256', secret: `jwt-secret-${i}` }
        : {
            key: `issuer-${i}`,
            algorithm: 'RS256',
            rsa_public_key: publicKey,
            secret: `unused-${i}`,
          },
    ],
    oauth2_credentials: [
      {
        name: `app-${i}`,
        client_id: `client-${i}`,
        client_secret: `client-secret-${i}`,
        redirect_uris: [`https://app-${i}.example.com/callback`],
        // decK knows no defaults of credentials: left out, they would be a difference for ever.
        client_type: 'confidential',
        hash_secret: false,
      },
    ],
    acls: [{ group: 'gold', tags: ['paid'] }, { group: `team-${i % 4}` }],
    ...(i % 4 === 0
      ? { plugins: [{ ...plugin('rate-limiting'), config: { second: i + 1 } }] }
      : {}),
  };
}

function upstream(i: number): Json {
  return {
    name: `upstream-${i}.internal`,
    algorithm: ['round-robin', 'least-connections', 'consistent-hashing'][i % 3],
    ...(i % 3 === 2 ? { hash_on: 'header', hash_on_header: 'x-session' } : {}),
    slots: 1000 + i,
    healthchecks: {
      active: { http_path: '/healthy', healthy: { interval: 5, successes: 2 }, concurrency: 4 },
      passive: { unhealthy: { http_failures: 3 } },
    },
    targets: [
      { target: `10.0.${i}.1:8080`, weight: 50 },
      { target: `backend-${i}.example.com:8080`, tags: ['named'] },
      { target: `[2001:0db8:0000:0000:0000:0000:0000:000${i}]:8443`, weight: 1 },
    ],
  };
}

function certificate(i: number): Json {
  const name = `site-${i}.example.com`;
  const { cert, key } = makeCertificate(name);
  const snis = [{ name }, { name: `*.${name}`, tags: ['wild'] }];
  // decK tells certificates apart by nothing else.
  return { id: randomUUID(), cert, key, tags: ['interop'], snis };
}

function keys(rsa: { readonly privateKey: string; readonly publicKey: string }): Json[] {
  const jwk = createPublicKey(rsa.publicKey).export({ format: 'jwk' });
  const pem = { public_key: rsa.publicKey, private_key: rsa.privateKey };
  return range(2).flatMap((i) => [
    { name: `pem-${i}`, kid: `pem-${i}`, set: { name: `set-${i}` }, pem },
    {
      name: `jwk-${i}`,
      kid: `jwk-${i}`,
      set: { name: `set-${i}` },
      jwk: JSON.stringify({ ...jwk, kid: `jwk-${i}` }),
    },
  ]);
}

function plugin(name: string): Json {
  return { name, config: { ...PLUGIN_CONFIGS[name] }, enabled: name !== 'acme', tags: ['interop'] };
}

/** One plugin in three scopes at once. */
function wide(): Json {
  return {
    ...plugin('request-termination'),
    instance_name: 'wide-one',
    service: 'service-1',
    route: 'route-1-a',
    consumer: 'consumer-1',
  };
}

export function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

export function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value);
}
