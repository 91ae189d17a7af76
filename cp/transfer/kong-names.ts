/** Names that Kong's products use and Headgate does not have, with what they are. */

/** Enterprise plugins → the one here that does part of it, where there is one. */
const ENTERPRISE_PLUGINS: ReadonlyMap<string, string | null> = new Map([
  ['ace', null],
  ['ai-aws-guardrails', null],
  ['ai-azure-content-safety', null],
  ['ai-gcp-model-armor', null],
  ['ai-lakera-guard', null],
  ['ai-llm-as-judge', null],
  ['ai-mcp-oauth2', null],
  ['ai-mcp-proxy', null],
  ['ai-prompt-compressor', null],
  ['ai-proxy-advanced', 'ai-proxy'],
  ['ai-rag-injector', null],
  ['ai-rate-limiting-advanced', 'rate-limiting'],
  ['ai-sanitizer', null],
  ['ai-semantic-cache', null],
  ['ai-semantic-prompt-guard', 'ai-prompt-guard'],
  ['ai-semantic-response-guard', null],
  ['app-dynamics', null],
  ['application-registration', null],
  ['canary', null],
  ['confluent', null],
  ['confluent-consume', null],
  ['datakit', null],
  ['degraphql', null],
  ['exit-transformer', null],
  ['forward-proxy', null],
  ['graphql-proxy-cache-advanced', null],
  ['graphql-rate-limiting-advanced', null],
  ['header-cert-auth', null],
  ['injection-protection', null],
  ['json-threat-protection', null],
  ['jwe-decrypt', null],
  ['jwt-signer', 'jwt'],
  ['kafka-consume', null],
  ['kafka-log', null],
  ['kafka-upstream', null],
  ['key-auth-enc', 'key-auth'],
  ['ldap-auth-advanced', 'ldap-auth'],
  ['metering-and-billing', null],
  ['mocking', null],
  ['mtls-auth', null],
  ['oas-validation', null],
  ['oauth2-introspection', null],
  ['opa', null],
  ['openid-connect', 'jwt'],
  ['openwhisk', null],
  ['proxy-cache-advanced', 'proxy-cache'],
  ['rate-limiting-advanced', 'rate-limiting'],
  ['request-callout', null],
  ['request-transformer-advanced', 'request-transformer'],
  ['request-validator', null],
  ['response-transformer-advanced', 'response-transformer'],
  ['route-by-header', null],
  ['route-transformer-advanced', null],
  ['saml', null],
  ['service-protection', null],
  ['solace-consume', null],
  ['solace-log', null],
  ['solace-upstream', null],
  ['statsd-advanced', 'statsd'],
  ['tls-handshake-modifier', null],
  ['tls-metadata-headers', null],
  ['upstream-oauth', null],
  ['upstream-timeout', null],
  ['vault-auth', null],
  ['websocket-size-limit', null],
  ['websocket-validator', null],
  ['xml-threat-protection', null],
]);

/** Why a plugin of that name, which is not defined here, cannot be taken over. */
export function missingPluginText(name: string): string {
  const substitute = ENTERPRISE_PLUGINS.get(name);
  if (substitute === undefined) return `plugin '${name}' is a custom one: there is none here`;
  const instead = substitute === null ? '' : `; '${substitute}' does part of what it does`;
  return `plugin '${name}' comes with Kong Enterprise only${instead}`;
}

/** Kinds of Kong Enterprise, Konnect and WebAssembly → what they are. */
const KINDS: ReadonlyMap<string, string> = new Map([
  ['acme_storage', 'what the plugin acme keeps for itself'],
  ['admins', 'administrators of Kong Enterprise; make admin tokens'],
  ['cloned_plugins', 'plugins that Kong Enterprise copies under another name'],
  ['consumer_group_consumers', 'membership in a consumer group; there are no consumer groups yet'],
  ['consumer_group_plugins', 'plugins of a consumer group; there are no consumer groups yet'],
  ['consumer_groups', 'consumer groups; there are none yet'],
  ['credentials', 'credentials of an Enterprise developer portal'],
  ['custom_entities', 'entities of custom or Enterprise plugins'],
  ['custom_plugins', 'plugins whose Lua code is kept in the database'],
  ['degraphql_routes', 'routes of the Enterprise plugin degraphql'],
  ['developers', 'developers of an Enterprise portal'],
  ['document_objects', 'documents of an Enterprise portal'],
  ['event_hooks', 'event hooks of Kong Enterprise'],
  ['files', 'files of an Enterprise portal'],
  ['filter_chains', 'WebAssembly filters; no data plane runs them'],
  ['graphql_ratelimiting_advanced_cost_decoration', 'costs of an Enterprise plugin for GraphQL'],
  ['groups', 'groups of administrators of Kong Enterprise'],
  ['jwks', 'key sets of Enterprise plugins'],
  ['keyauth_enc_credentials', 'credentials of the Enterprise plugin key-auth-enc'],
  ['keyring', 'the keyring of Kong Enterprise'],
  ['licenses', 'licenses of Kong Enterprise; none is needed here'],
  ['mtls_auth_credentials', 'credentials of the Enterprise plugin mtls-auth'],
  ['oauth2_authorization_codes', 'codes that data planes made; clients get new ones'],
  ['oauth2_tokens', 'tokens that data planes made; clients get new ones'],
  ['oidc_issuers', 'caches of the Enterprise plugin openid-connect'],
  ['partials', 'configurations that Enterprise plugins share; write them into each plugin'],
  ['rbac_roles', 'roles of Kong Enterprise; admin tokens have scopes instead'],
  ['rbac_users', 'users of Kong Enterprise; admin tokens have scopes instead'],
  ['ratelimiting_metrics', 'counters'],
  ['response_ratelimiting_metrics', 'counters'],
  ['service_packages', 'service packages of Konnect'],
  ['sessions', 'sessions that data planes made; users log in again'],
  ['vault_auth_vaults', 'vaults of the Enterprise plugin vault-auth'],
  ['vault_credentials', 'credentials of the Enterprise plugin vault-auth'],
  ['workspaces', 'workspaces; import each into one of its own with --workspace'],
]);

/** Why an entity of a kind that is not stored here cannot be taken over. */
export function missingKindText(kind: string): string {
  const known = KINDS.get(kind);
  return known === undefined ? `'${kind}' is not known here` : known;
}

/** Collections of Kong's Admin API that are asked for although nothing here has them. */
export const FOREIGN_COLLECTIONS: ReadonlyMap<string, string> = new Map([
  ['consumer_groups', 'consumer_groups'],
  ['degraphql_routes', 'degraphql_routes'],
  ['event-hooks', 'event_hooks'],
  ['filter-chains', 'filter_chains'],
  ['key-auths-enc', 'keyauth_enc_credentials'],
  ['licenses', 'licenses'],
  ['mtls-auths', 'mtls_auth_credentials'],
  ['partials', 'partials'],
  ['rbac/roles', 'rbac_roles'],
  ['rbac/users', 'rbac_users'],
]);

/**
 * Fields of other releases and editions, by kind, whose value says nothing: it is what one has that
 * never used them. `true` stands for any value.
 */
export const NEUTRAL_FIELDS: ReadonlyMap<
  string,
  Readonly<Record<string, readonly unknown[] | true>>
> = new Map([
  ['*', { ws_id: true, cache_key: true, workspace_id: true, workspace_name: true }],
  ['consumers', { type: [0, 'proxy'], username_lower: true }],
  ['plugins', { run_on: ['first'] }],
  ['targets', { failover: [false] }],
  ['upstreams', { sticky_sessions_cookie_path: ['/'] }],
]);

/** Fields of plugins before 3.0, by plugin: old name → new one. Source: Kong `CHANGELOG.md`, 2.1 and 3.0 */
export const RENAMED_FIELDS: ReadonlyMap<string, ReadonlyMap<string, string>> = new Map(
  ['acl', 'bot-detection', 'ip-restriction'].map((plugin) => [
    plugin,
    new Map([
      ['whitelist', 'allow'],
      ['blacklist', 'deny'],
    ]),
  ]),
);
