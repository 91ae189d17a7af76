/** response-transformer: edits the headers and the JSON object of a response. */
import { concat, fromUtf8, utf8 } from '../../base/bytes.ts';
import type { BodyFilter } from '../../http/body.ts';
import type { HeaderList } from '../../http/headers.ts';
import type { RequestContext } from '../../proxy/context.ts';
import type { PluginHandler } from '../plugin.ts';
import { type Edits, editJson, type Pair, readPairs, readValues } from './edits.ts';
import type { ResponseTransformerConfig } from './schema.ts';

export interface ResponseTransformer {
  readonly removeHeaders: readonly string[];
  readonly renameHeaders: readonly Pair[];
  readonly replaceHeaders: readonly Pair[];
  readonly addHeaders: readonly Pair[];
  readonly appendHeaders: readonly Pair[];
  /** Null when the body is left alone. */
  readonly body: Edits | null;
}

/** A body must be whole to be edited, so this much is held back per response. */
export const BODY_BYTES_MAX = 4 * 1024 * 1024;

/** Source: kong/plugins/response-transformer/{handler,header_transformer,body_transformer}.lua */
export const responseTransformerHandler: PluginHandler<
  ResponseTransformerConfig,
  ResponseTransformer
> = {
  prepare(config) {
    return {
      removeHeaders: config.remove.headers.map((name) => name.toLowerCase()),
      renameHeaders: readPairs(config.rename.headers),
      replaceHeaders: readPairs(config.replace.headers),
      addHeaders: readPairs(config.add.headers),
      appendHeaders: readPairs(config.append.headers),
      body: readBodyEdits(config),
    };
  },

  headerFilter(ctx, prepared) {
    if (ctx.response !== null) editHeaders(ctx.response.headers, prepared);
  },

  bodyFilter(ctx, prepared) {
    const edits = prepared.body;
    if (edits === null || ctx.response === null || hasNoBody(ctx)) return null;
    const { headers } = ctx.response;
    if (!isJson(headers.getAll('content-type'))) return null;
    const encoding = headers.get('content-encoding') ?? 'identity';
    const length = Number(headers.get('content-length') ?? 0);
    if (encoding.toLowerCase() !== 'identity') return giveUp(ctx, edits, `encoded as ${encoding}`);
    if (length > BODY_BYTES_MAX) return giveUp(ctx, edits, 'too large');
    return makeFilter(ctx, edits);
  },
};

function readBodyEdits(config: ResponseTransformerConfig): Edits | null {
  const edits: Edits = {
    remove: config.remove.json.flatMap((name) => readPairs([name]).map((pair) => pair.name)),
    rename: readPairs(config.rename.json),
    replace: readValues(config.replace.json, config.replace.json_types),
    add: readValues(config.add.json, config.add.json_types),
    append: readValues(config.append.json, config.append.json_types),
  };
  return Object.values(edits).some((list) => list.length > 0) ? edits : null;
}

/**
 * Remove, rename, replace, add, append. Whether there is a field is asked of the response as it came:
 * one that was removed is not added, and is replaced. Two edits of one field are read as in Kong.
 */
function editHeaders(headers: HeaderList, prepared: ResponseTransformer): void {
  const before = headers.clone();
  for (const name of prepared.removeHeaders) headers.remove(name);
  for (const { name, value } of prepared.renameHeaders) {
    const values = before.getAll(name.toLowerCase());
    if (values.length === 0 || value === '') continue;
    headers.remove(name.toLowerCase());
    headers.remove(value.toLowerCase());
    for (const each of values) headers.append(value, each);
  }
  for (const { name, value } of prepared.replaceHeaders) {
    if (value !== '' && before.has(name.toLowerCase())) headers.set(name, value);
  }
  for (const { name, value } of prepared.addHeaders) {
    if (value !== '' && !before.has(name.toLowerCase())) headers.set(name, value);
  }
  for (const { name, value } of prepared.appendHeaders) {
    if (value !== '') headers.append(name, value);
  }
}

/** Holds the body back until it is whole, then sends the edited one. */
function makeFilter(ctx: RequestContext, edits: Edits): BodyFilter {
  let chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  let isPassing = false;
  return (chunk, last) => {
    if (isPassing) return chunk;
    chunks.push(chunk);
    sizeBytes += chunk.length;
    if (sizeBytes > BODY_BYTES_MAX) {
      giveUp(ctx, edits, 'too large');
      isPassing = true;
      const held = concat(...chunks);
      chunks = [];
      return held;
    }
    if (!last) return null;
    const whole = concat(...chunks);
    if (whole.length === 0) return null;
    const edited = editJson(fromUtf8(whole), edits);
    if (edited !== null) return utf8(edited);
    giveUp(ctx, edits, 'not valid JSON');
    return whole;
  };
}

/**
 * The body cannot be edited. Where the edits take something away the response must not go out, and
 * this throws; where they only add, it passes as it is.
 */
function giveUp(ctx: RequestContext, edits: Edits, why: string): null {
  ctx.platform.logger.log('warn', 'response body not transformed', {
    request_id: ctx.requestId,
    reason: why,
  });
  const isHiding = edits.remove.length + edits.rename.length + edits.replace.length > 0;
  if (isHiding) throw new Error(`the response body is ${why}`);
  return null;
}

function hasNoBody(ctx: RequestContext): boolean {
  const status = ctx.response?.status ?? 0;
  return ctx.request.method === 'HEAD' || status === 204 || status === 304;
}

function isJson(contentTypes: readonly string[]): boolean {
  return contentTypes
    .flatMap((value) => value.split(','))
    .some((value) => value.split(';')[0]?.trim().toLowerCase() === 'application/json');
}
