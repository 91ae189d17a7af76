/**
 * Tables of all the kinds of entities that the first schema lacked, named and shaped as there. What is
 * unique in all workspaces has a key without `ws_id`.
 */
import type { Migration } from '../migrate.ts';

interface Table {
  readonly name: string;
  /** Besides `ws_id`, `id` and `doc`. */
  readonly columns: readonly string[];
  /** Constraint's field → columns. */
  readonly unique?: Readonly<Record<string, string>>;
  /** Foreign field → table it points to. */
  readonly foreign?: Readonly<Record<string, string>>;
}

/** A look-up secret: its blind index, and its ciphertext. */
const lookup = (field: string) => [`${field}_index bytea`, `${field}_cipher bytea`];
/** Also of a record with secrets in it: what is taken out of `doc`. */
const sealed = (field: string) => `${field}_cipher bytea`;
const TAGS = 'tags text[]';
const EXPIRY = 'expires_at timestamptz';
const CACHE_KEY = 'cache_key text';
const OF_CONSUMER = { foreign: { consumer: 'consumers' } };

const TABLES: readonly Table[] = [
  {
    name: 'certificates',
    columns: [sealed('key'), sealed('key_alt'), TAGS],
  },
  {
    name: 'snis',
    columns: ['name text', TAGS],
    unique: { name: 'name' },
    foreign: { certificate: 'certificates' },
  },
  {
    name: 'ca_certificates',
    columns: ['cert_digest text', TAGS],
    unique: { cert_digest: 'ws_id, cert_digest' },
  },
  {
    name: 'vaults',
    columns: ['prefix text', sealed('config'), TAGS],
    unique: { prefix: 'prefix' },
  },
  {
    name: 'key_sets',
    columns: ['name text', TAGS],
    unique: { name: 'ws_id, name' },
  },
  {
    name: 'keys',
    columns: ['name text', sealed('jwk'), sealed('pem'), TAGS, CACHE_KEY],
    unique: { name: 'ws_id, name' },
    foreign: { set: 'key_sets' },
  },
  { name: 'acls', columns: [TAGS, CACHE_KEY], ...OF_CONSUMER },
  {
    name: 'acme_storage',
    columns: ['key text', sealed('value'), EXPIRY],
    unique: { key: 'ws_id, key' },
  },
  {
    name: 'basicauth_credentials',
    columns: ['username text', sealed('password'), TAGS],
    unique: { username: 'ws_id, username' },
    ...OF_CONSUMER,
  },
  {
    name: 'hmacauth_credentials',
    columns: ['username text', sealed('secret'), TAGS],
    unique: { username: 'ws_id, username' },
    ...OF_CONSUMER,
  },
  {
    name: 'jwt_secrets',
    columns: ['key text', sealed('secret'), TAGS],
    unique: { key: 'ws_id, key' },
    ...OF_CONSUMER,
  },
  {
    name: 'oauth2_credentials',
    columns: ['client_id text', sealed('client_secret'), TAGS],
    unique: { client_id: 'ws_id, client_id' },
    ...OF_CONSUMER,
  },
  {
    name: 'oauth2_tokens',
    columns: [...lookup('access_token'), ...lookup('refresh_token'), EXPIRY],
    unique: {
      access_token: 'ws_id, access_token_index',
      refresh_token: 'ws_id, refresh_token_index',
    },
    foreign: { service: 'services', credential: 'oauth2_credentials' },
  },
  {
    name: 'sessions',
    columns: [...lookup('session_id'), sealed('data'), EXPIRY],
    unique: { session_id: 'ws_id, session_id_index' },
  },
];

function statementsOf({ name, columns, unique = {}, foreign = {} }: Table): string[] {
  const rows = [
    'ws_id uuid NOT NULL',
    'id uuid NOT NULL',
    ...Object.keys(foreign).map((field) => `${field}_id uuid`),
    ...columns,
    'doc jsonb NOT NULL',
    `CONSTRAINT ${name}_pkey PRIMARY KEY (ws_id, id)`,
    ...Object.entries(unique).map(([key, of]) => `CONSTRAINT ${name}_${key}_key UNIQUE (${of})`),
    ...(columns.includes(CACHE_KEY)
      ? [`CONSTRAINT ${name}_cache_key UNIQUE (ws_id, cache_key)`]
      : []),
    ...Object.entries(foreign).map(([field, parent]) => foreignKey(name, field, parent)),
  ];
  return [
    `CREATE TABLE ${name} (${rows.join(', ')})`,
    ...Object.keys(foreign).map((field) => foreignIndex(name, field)),
    ...(columns.includes(TAGS)
      ? [`CREATE INDEX ${name}_tags_idx ON ${name} USING gin (tags)`]
      : []),
    ...(columns.includes(EXPIRY)
      ? [`CREATE INDEX ${name}_expires_at_idx ON ${name} (expires_at) WHERE expires_at IS NOT NULL`]
      : []),
  ];
}

function foreignKey(table: string, field: string, parent: string): string {
  return (
    `CONSTRAINT ${table}_${field}_fkey FOREIGN KEY (ws_id, ${field}_id) ` +
    `REFERENCES ${parent} (ws_id, id)`
  );
}

function foreignIndex(table: string, field: string): string {
  return `CREATE INDEX ${table}_${field}_id_idx ON ${table} (ws_id, ${field}_id, id)`;
}

/** Their columns were there before what they point to. */
const clientCertificates = ['services', 'upstreams'].flatMap((table) => [
  `ALTER TABLE ${table} ADD ${foreignKey(table, 'client_certificate', 'certificates')}`,
  foreignIndex(table, 'client_certificate'),
]);

export const entities: Migration = {
  number: 2,
  name: 'entities',
  floor: 1,
  statements: [...TABLES.flatMap(statementsOf), ...clientCertificates],
};
