/** A configuration of each of Kong's 45 plugins: what each needs, and something beyond the defaults. */

type Config = Readonly<Record<string, unknown>>;

/**
 * decK fills in no defaults inside maps and drops empty records, while Kong shows both: a file must spell
 * them out, as decK's own dump does, or it differs for ever.
 */
const NO_LIMIT = { second: null, minute: null, hour: null, day: null, month: null, year: null };

const MODEL = { provider: 'openai', name: 'gpt-4', options: { max_tokens: 64, temperature: 0.5 } };
const MODEL_KEY = { header_name: 'authorization', header_value: 'Bearer interop' };

export const PLUGIN_CONFIGS: Readonly<Record<string, Config>> = {
  acl: { allow: ['gold', 'silver'], hide_groups_header: true },
  acme: {
    account_email: 'ops@example.com',
    domains: ['acme.example.com'],
    tos_accepted: true,
    storage_config: { kong: {} },
  },
  'ai-prompt-decorator': { prompts: { prepend: [{ role: 'system', content: 'Be brief.' }] } },
  'ai-prompt-guard': { allow_patterns: ['weather'], deny_patterns: ['secret'] },
  'ai-prompt-template': {
    templates: [{ name: 'greet', template: '{"prompt": "Greet {{name}}"}' }],
  },
  'ai-proxy': { route_type: 'llm/v1/chat', auth: MODEL_KEY, model: MODEL },
  'ai-request-transformer': {
    prompt: 'Translate',
    llm: { route_type: 'llm/v1/chat', auth: MODEL_KEY, model: MODEL },
  },
  'ai-response-transformer': {
    prompt: 'Summarise',
    llm: { route_type: 'llm/v1/chat', auth: MODEL_KEY, model: MODEL },
  },
  'aws-lambda': {
    aws_key: 'AKIAINTEROP',
    aws_secret: 'interop',
    aws_region: 'eu-central-1',
    function_name: 'hello',
  },
  'azure-functions': { appname: 'interop', functionname: 'hello', apikey: 'k' },
  'basic-auth': { hide_credentials: true },
  'bot-detection': { deny: ['badbot'], allow: ['goodbot'] },
  'correlation-id': { header_name: 'X-Request-ID', generator: 'uuid', echo_downstream: true },
  cors: { origins: ['https://a.example.com', 'https://b.example.com'], max_age: 60 },
  datadog: {
    host: 'dd.example.com',
    metrics: [{ name: 'request_count', stat_type: 'counter', sample_rate: 0.5 }],
  },
  'file-log': { path: '/tmp/interop.log', custom_fields_by_lua: { hi: 'return 1' } },
  'grpc-gateway': { proto: '/etc/proto/hello.proto' },
  'grpc-web': { allow_origin_header: 'https://a.example.com' },
  'hmac-auth': { clock_skew: 60, algorithms: ['hmac-sha256', 'hmac-sha512'] },
  'http-log': {
    http_endpoint: 'http://log.example.com/in',
    headers: { 'X-Team': 'interop' },
    queue: { max_batch_size: 10, max_retry_time: 5 },
  },
  'ip-restriction': { allow: ['10.0.0.0/8', '2001:db8::/32'], status: 403 },
  jwt: { claims_to_verify: ['exp'], maximum_expiration: 3600 },
  'key-auth': { key_names: ['apikey', 'x-key'], hide_credentials: true },
  'ldap-auth': { ldap_host: 'ldap.example.com', base_dn: 'dc=example,dc=com', attribute: 'cn' },
  loggly: { key: 'interop', tags: ['a', 'b'] },
  oauth2: {
    provision_key: 'interop-provision',
    scopes: ['read', 'write'],
    enable_authorization_code: true,
  },
  opentelemetry: {
    traces_endpoint: 'http://otel.example.com:4318/v1/traces',
    headers: { 'x-team': 'interop' },
    resource_attributes: { 'service.name': 'interop' },
    propagation: { default_format: 'w3c', inject: ['w3c', 'b3'] },
  },
  'post-function': { log: ['return nil'] },
  'pre-function': { access: ['kong.log.debug("interop")'] },
  prometheus: { per_consumer: true, latency_metrics: true },
  'proxy-cache': { strategy: 'memory', cache_ttl: 30, content_type: ['application/json'] },
  'rate-limiting': {
    minute: 100,
    hour: 1000,
    policy: 'redis',
    redis: { host: 'redis.example.com', port: 6380, database: 2 },
  },
  redirect: { location: 'https://example.com/moved', status_code: 308 },
  'request-size-limiting': { allowed_payload_size: 4, size_unit: 'kilobytes' },
  'request-termination': { status_code: 418, message: 'no coffee' },
  'request-transformer': {
    add: { headers: ['x-a:1', 'x-b:2'], querystring: ['q:1'] },
    remove: { headers: ['x-c'] },
    replace: { uri: '/new' },
  },
  'response-ratelimiting': {
    limits: { video: { ...NO_LIMIT, minute: 10 }, image: { ...NO_LIMIT, hour: 5, day: 50 } },
  },
  'response-transformer': { add: { headers: ['x-served-by:headgate'] }, remove: { json: ['pw'] } },
  session: { secret: 'interop-session-secret', cookie_name: 'sid', storage: 'cookie' },
  'standard-webhooks': { secret_v1: 'whsec_aW50ZXJvcC1zZWNyZXQ=', tolerance_second: 120 },
  statsd: {
    host: 'statsd.example.com',
    metrics: [{ name: 'request_size', stat_type: 'counter', sample_rate: 1 }],
  },
  syslog: { log_level: 'warning', facility: 'local0' },
  'tcp-log': { host: 'log.example.com', port: 9000 },
  'udp-log': { host: 'log.example.com', port: 9001 },
  zipkin: {
    http_endpoint: 'http://zipkin.example.com:9411/api/v2/spans',
    sample_ratio: 0.25,
    static_tags: [{ name: 'team', value: 'interop' }],
    propagation: { default_format: 'b3' },
  },
};
