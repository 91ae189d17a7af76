/** Pages of a collection: `size`, the opaque `offset`, and the tag filter. */
import { isUuid } from '#shared/schema/attributes.ts';
import type { JsonValue } from '#shared/schema/field.ts';
import type { ListQuery } from '../store/store.ts';
import { invalidOffset, invalidOption, invalidSize } from './errors.ts';

export const SIZE_DEFAULT = 100;
export const SIZE_MAX = 1000;
export const TAGS_MAX = 5;

export function pageQuery(args: URLSearchParams, withTags: boolean): ListQuery {
  const offset = args.get('offset');
  const tags = withTags ? tagFilter(args.get('tags')) : null;
  return {
    size: pageSize(args.get('size')),
    after: offset === null ? null : decodeOffset(offset),
    ...(tags === null ? {} : { tags }),
  };
}

export function pageSize(text: string | null): number {
  if (text === null) return SIZE_DEFAULT;
  const size = Number(text);
  if (text.trim() === '' || Number.isNaN(size)) throw invalidSize('size must be a number');
  if (!Number.isInteger(size) || size < 1 || size > SIZE_MAX) {
    throw invalidSize(`size must be an integer between 1 and ${SIZE_MAX}`);
  }
  return size;
}

/** Base64 without padding of a JSON array with the last row's id, as Kong's. */
export function encodeOffset(id: string): string {
  return encodeBase64Json([id]);
}

export function encodeBase64Json(value: JsonValue): string {
  return Buffer.from(JSON.stringify(value)).toString('base64').replace(/=+$/, '');
}

/** @throws AdminError code 7 */
export function decodeBase64Json(offset: string): unknown {
  if (!/^[A-Za-z0-9+/_-]+=*$/.test(offset)) throw invalidOffset(offset, 'bad base64 encoding');
  try {
    return JSON.parse(Buffer.from(offset, 'base64').toString('utf8'));
  } catch {
    throw invalidOffset(offset, 'bad json encoding');
  }
}

function decodeOffset(offset: string): string {
  const value = decodeBase64Json(offset);
  const id: unknown = Array.isArray(value) ? value[0] : null;
  if (typeof id !== 'string' || !isUuid(id)) throw invalidOffset(offset, 'bad json encoding');
  return id;
}

/** An offset that counts rows; 0 without one. */
export function numberOffset(offset: string | null): number {
  if (offset === null) return 0;
  if (!/^\d{1,9}$/.test(offset)) throw invalidOffset(offset, 'not a number');
  return Number(offset);
}

/** `a,b` all of them, `a/b` any of them. */
function tagFilter(text: string | null): NonNullable<ListQuery['tags']> | null {
  if (text === null) return null;
  if (text === '') throw invalidOption('tags', 'cannot be null');
  const isAll = text.includes(',');
  if ((isAll && text.includes('/')) || !/^[\x20-\x7e\u0080-\u{10ffff}]+$/u.test(text)) {
    throw invalidOption('tags', 'invalid filter syntax');
  }
  const tags = text.split(isAll ? ',' : '/');
  if (tags.some((tag) => tag === '')) throw invalidOption('tags', 'invalid filter syntax');
  if (tags.length > TAGS_MAX) {
    throw invalidOption('tags', `cannot query more than ${TAGS_MAX} tags`);
  }
  return isAll ? { all: tags } : { any: tags };
}
