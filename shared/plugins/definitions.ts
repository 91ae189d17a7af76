/** All plugins by name, as data (registry 2 of 3); the code stands in `handlers.ts`. */
import { acl } from './acl/schema.ts';
import { acme } from './acme/schema.ts';
import { aiPromptDecorator } from './ai-prompt-decorator/schema.ts';
import { aiPromptGuard } from './ai-prompt-guard/schema.ts';
import { aiPromptTemplate } from './ai-prompt-template/schema.ts';
import { aiProxy } from './ai-proxy/schema.ts';
import { aiRequestTransformer } from './ai-request-transformer/schema.ts';
import { aiResponseTransformer } from './ai-response-transformer/schema.ts';
import { awsLambda } from './aws-lambda/schema.ts';
import { azureFunctions } from './azure-functions/schema.ts';
import { basicAuth } from './basic-auth/schema.ts';
import { botDetection } from './bot-detection/schema.ts';
import { correlationId } from './correlation-id/schema.ts';
import { cors } from './cors/schema.ts';
import { datadog } from './datadog/schema.ts';
import { fileLog } from './file-log/schema.ts';
import { grpcGateway } from './grpc-gateway/schema.ts';
import { grpcWeb } from './grpc-web/schema.ts';
import { hmacAuth } from './hmac-auth/schema.ts';
import { httpLog } from './http-log/schema.ts';
import { ipRestriction } from './ip-restriction/schema.ts';
import { jwt } from './jwt/schema.ts';
import { keyAuth } from './key-auth/schema.ts';
import { ldapAuth } from './ldap-auth/schema.ts';
import { loggly } from './loggly/schema.ts';
import { oauth2 } from './oauth2/schema.ts';
import { opentelemetry } from './opentelemetry/schema.ts';
import type { PluginDefinition } from './plugin.ts';
import { postFunction } from './post-function/schema.ts';
import { preFunction } from './pre-function/schema.ts';
import { prometheus } from './prometheus/schema.ts';
import { proxyCache } from './proxy-cache/schema.ts';
import { rateLimiting } from './rate-limiting/schema.ts';
import { redirect } from './redirect/schema.ts';
import { requestSizeLimiting } from './request-size-limiting/schema.ts';
import { requestTermination } from './request-termination/schema.ts';
import { requestTransformer } from './request-transformer/schema.ts';
import { responseRatelimiting } from './response-ratelimiting/schema.ts';
import { responseTransformer } from './response-transformer/schema.ts';
import { session } from './session/schema.ts';
import { standardWebhooks } from './standard-webhooks/schema.ts';
import { statsd } from './statsd/schema.ts';
import { syslog } from './syslog/schema.ts';
import { tcpLog } from './tcp-log/schema.ts';
import { udpLog } from './udp-log/schema.ts';
import { zipkin } from './zipkin/schema.ts';

const DEFINITIONS: readonly PluginDefinition[] = [
  acl,
  acme,
  aiPromptDecorator,
  aiPromptGuard,
  aiPromptTemplate,
  aiProxy,
  aiRequestTransformer,
  aiResponseTransformer,
  awsLambda,
  azureFunctions,
  basicAuth,
  botDetection,
  correlationId,
  cors,
  datadog,
  fileLog,
  grpcGateway,
  grpcWeb,
  hmacAuth,
  httpLog,
  ipRestriction,
  jwt,
  keyAuth,
  ldapAuth,
  loggly,
  oauth2,
  opentelemetry,
  postFunction,
  preFunction,
  prometheus,
  proxyCache,
  rateLimiting,
  redirect,
  requestSizeLimiting,
  requestTermination,
  requestTransformer,
  responseRatelimiting,
  responseTransformer,
  session,
  standardWebhooks,
  statsd,
  syslog,
  tcpLog,
  udpLog,
  zipkin,
];

export const PLUGIN_DEFINITIONS: ReadonlyMap<string, PluginDefinition> = new Map(
  DEFINITIONS.map((definition) => [definition.name, definition]),
);
