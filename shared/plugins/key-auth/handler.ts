/** key-auth: who sends a known key is its consumer. */
import { fromUtf8, utf8 } from '../../base/bytes.ts';
import { andThen, type MaybePromise } from '../../base/maybe-promise.ts';
import type { Consumer } from '../../entities/consumer.ts';
import type { GatewayResponse } from '../../http/message.ts';
import type { RequestContext } from '../../proxy/context.ts';
import type { AnyEntity } from '../../schema/infer.ts';
import type { PluginHandler } from '../plugin.ts';
import { argumentValues, withoutArgument } from './arguments.ts';
import type { KeyAuthConfig } from './schema.ts';

interface KeyName {
  /** As configured. */
  readonly name: string;
  /** The header's spellings, the first first: `api_key` also takes `api-key`, as in Kong. */
  readonly headers: readonly string[];
}

export interface KeyAuth {
  readonly config: KeyAuthConfig;
  readonly names: readonly KeyName[];
  /** Value of WWW-Authenticate in refusals. */
  readonly challenge: string;
}

const NO_KEY = 'No API key found in request';
const DUPLICATE_KEY = 'Duplicate API key found';
const UNAUTHORIZED = 'Unauthorized';

const CREDENTIALS = 'keyauth_credentials';
/** A body is looked into only when it is at hand as bytes, and no longer than this. */
const BODY_BYTES_MAX = 64 * 1024;
/** Beyond this nobody's key is looked up: a hash costs time per byte. */
const KEY_LENGTH_MAX = 4096;

/** Source: kong/plugins/key-auth/handler.lua */
export const keyAuthHandler: PluginHandler<KeyAuthConfig, KeyAuth> = {
  prepare(config) {
    const { realm } = config;
    if (realm !== null && !/^[\t -~\u0080-\u00ff]*$/.test(realm)) {
      throw new Error('realm has characters that a header cannot carry');
    }
    return {
      config,
      names: config.key_names.map((name) => ({ name, headers: headersFor(name.toLowerCase()) })),
      challenge: realm === null ? 'Key' : `Key realm="${realm.replace(/["\\]/g, '\\$&')}"`,
    };
  },

  access(ctx, prepared) {
    const { config, challenge } = prepared;
    if (!config.run_on_preflight && ctx.request.method === 'OPTIONS') return;
    const { anonymous } = config;
    if (anonymous === null) {
      return andThen(authenticate(ctx, prepared), (refusal) => {
        if (refusal !== null) return ctx.error(401, refusal, [['WWW-Authenticate', challenge]]);
      });
    }
    // With an anonymous consumer several ways to authenticate are alternatives: one is enough.
    if (ctx.credential !== null) return;
    return andThen(authenticate(ctx, prepared), (refusal) =>
      refusal === null ? undefined : becomeAnonymous(ctx, anonymous),
    );
  },
};

/** Null: authenticated. Else why not. */
function authenticate(ctx: RequestContext, prepared: KeyAuth): MaybePromise<string | null> {
  const found = findKey(ctx, prepared);
  if (found.refusal !== null) return found.refusal;
  if (found.key.length > KEY_LENGTH_MAX) return UNAUTHORIZED;
  return andThen(ctx.find(CREDENTIALS, 'key', found.key), (credential) => {
    const owner = credential === null ? null : ownerOf(ctx, credential);
    if (credential === null || owner === null) return UNAUTHORIZED;
    return andThen(ctx.find('consumers', 'id', owner), (consumer) => {
      if (consumer === null) return UNAUTHORIZED;
      identify(ctx, asConsumer(consumer), credential.id);
      return null;
    });
  });
}

type Found = { readonly refusal: null; readonly key: string } | { readonly refusal: string };

function findKey(ctx: RequestContext, prepared: KeyAuth): Found {
  const { config } = prepared;
  const body = config.key_in_body ? readBody(ctx) : null;
  for (const keyName of prepared.names) {
    const { name } = keyName;
    let values: readonly (string | true)[] = [];
    if (config.key_in_header) values = headerValues(ctx, keyName);
    if (values.length === 0 && config.key_in_query && ctx.query !== null) {
      values = argumentValues(ctx.query, name);
    }
    if (values.length === 0 && body !== null) values = body.values(name);
    if (values.length > 1) return { refusal: DUPLICATE_KEY };
    const [key] = values;
    if (typeof key !== 'string') continue;
    if (config.hide_credentials) hide(ctx, body, keyName);
    return key === '' ? { refusal: NO_KEY } : { refusal: null, key };
  }
  return { refusal: NO_KEY };
}

function headersFor(name: string): readonly string[] {
  return name.includes('_') ? [name, name.replaceAll('_', '-')] : [name];
}

function headerValues(ctx: RequestContext, { headers }: KeyName): readonly string[] {
  for (const header of headers) {
    const values = ctx.request.headers.getAll(header);
    if (values.length > 0) return values;
  }
  return [];
}

function hide(ctx: RequestContext, body: ReadBody | null, { name, headers }: KeyName): void {
  for (const header of headers) ctx.upstreamHeaders.remove(header);
  if (ctx.upstreamQuery !== null) ctx.upstreamQuery = withoutArgument(ctx.upstreamQuery, name);
  if (body === null || body.values(name).length === 0) return;
  const bytes = utf8(body.without(name));
  ctx.upstreamBody = bytes;
  ctx.upstreamHeaders.set('Content-Length', String(bytes.length));
}

/** Stands for values that are refused unread. */
const SEVERAL: readonly true[] = [true, true];

/** A body of which arguments can be had. */
interface ReadBody {
  values(name: string): readonly (string | true)[];
  without(name: string): string;
}

/** Null when there is none, it is no form and no JSON object, or it is not at hand as bytes. */
function readBody(ctx: RequestContext): ReadBody | null {
  const { upstreamBody } = ctx;
  if (!(upstreamBody instanceof Uint8Array) || upstreamBody.length > BODY_BYTES_MAX) return null;
  const type = ctx.request.headers.get('content-type')?.toLowerCase() ?? '';
  if (type.startsWith('application/x-www-form-urlencoded')) return readForm(fromUtf8(upstreamBody));
  return type.startsWith('application/json') ? readJson(fromUtf8(upstreamBody)) : null;
}

function readForm(text: string): ReadBody {
  return {
    values: (name) => argumentValues(text, name),
    without: (name) => withoutArgument(text, name) ?? '',
  };
}

function readJson(text: string): ReadBody | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
  const members = new Map<string, unknown>(Object.entries(value));
  return {
    values: (name) => {
      const member = members.get(name);
      // A list or an object is no key, whatever is in it.
      if (typeof member === 'object' && member !== null) return SEVERAL;
      return typeof member === 'string' ? [member] : [];
    },
    without: (name) => {
      const kept = [...members].filter(([member]) => member !== name);
      return JSON.stringify(Object.fromEntries(kept));
    },
  };
}

/** Id of the credential's consumer; null when it has expired. */
function ownerOf(ctx: RequestContext, credential: AnyEntity): string | null {
  const expiresAt = credential['expires_at'];
  if (typeof expiresAt === 'number' && ctx.platform.clock.now() >= expiresAt * 1000) return null;
  const consumer = credential['consumer'];
  if (typeof consumer !== 'object' || consumer === null || !('id' in consumer)) return null;
  return typeof consumer.id === 'string' ? consumer.id : null;
}

function becomeAnonymous(
  ctx: RequestContext,
  anonymous: string,
): MaybePromise<GatewayResponse | void> {
  return andThen(ctx.find('consumers', 'id', anonymous), (byId) =>
    andThen(byId ?? ctx.find('consumers', 'username', anonymous), (consumer) => {
      if (consumer === null) {
        const message = `anonymous consumer ${anonymous} is configured but doesn't exist`;
        return ctx.error(500, message);
      }
      identify(ctx, asConsumer(consumer), null);
    }),
  );
}

function identify(ctx: RequestContext, consumer: Consumer, credentialId: string | null): void {
  ctx.consumer = consumer;
  ctx.credential = credentialId === null ? null : { id: credentialId, kind: CREDENTIALS };
  const headers = ctx.upstreamHeaders;
  setOrRemove(ctx, 'X-Consumer-ID', consumer.id);
  setOrRemove(ctx, 'X-Consumer-Custom-ID', consumer.custom_id);
  setOrRemove(ctx, 'X-Consumer-Username', consumer.username);
  setOrRemove(ctx, 'X-Credential-Identifier', credentialId);
  if (credentialId === null) headers.set('X-Anonymous-Consumer', 'true');
  else headers.remove('x-anonymous-consumer');
}

function setOrRemove(ctx: RequestContext, name: string, value: string | null): void {
  if (value === null) ctx.upstreamHeaders.remove(name.toLowerCase());
  else ctx.upstreamHeaders.set(name, value);
}

/** `find` answers with entities of the kind that was asked for. */
function asConsumer(entity: AnyEntity): Consumer {
  return entity as unknown as Consumer;
}
