/** Checks that no attribute of a field expresses: each answers what is allowed, or null. */
import { RESPONSE_FIELD_NAMES } from '../http/response-headers.ts';

/** An address or a CIDR block; its exact form is checked again where it is used. */
export function cidrError(text: string): string | null {
  const isBlock = /^[0-9a-fA-F.:]+(\/\d{1,3})?$/.test(text);
  return isBlock ? null : 'IP addresses or CIDR blocks such as 10.0.0.0/8';
}

export function controlPlaneError(url: string): string | null {
  if (/^(wss|https):\/\/[^\s/]+(\/\S*)?$/.test(url)) return null;
  if (/^(ws|http):\/\/(localhost|127\.[\d.]+|\[::1\])(:\d+)?(\/\S*)?$/.test(url)) return null;
  return 'wss:// (or https:// to pull) addresses; ws:// and http:// only for loopback';
}

/** A forward proxy, as in Kong's `proxy_server`. */
export function proxyServerError(url: string): string | null {
  return /^https?:\/\/(?:[^\s/@:]+(?::[^\s/@]*)?@)?(?:\[[\da-fA-F:.]+\]|[^\s/@:]+)(?::\d{1,5})?\/?$/.test(
    url,
  )
    ? null
    : 'http:// or https:// with host and port, such as http://user:password@proxy.example:3128';
}

export function joinTokenError(token: string): string | null {
  const isToken = /^hgj_[0-9a-f-]{36}_[\w-]{43}_[\w-]{43}$/.test(token.trim());
  return isToken ? null : 'expected a join token (hgj_…) from POST /clustering/join-tokens';
}

/** A symmetric key. */
export function keyError(text: string): string | null {
  return /^[A-Za-z0-9+/_-]{43}=?$/.test(text) ? null : 'expected 32 random bytes in base64';
}

/** Names are taken in any case, as Kong takes them. */
export function responseFieldError(text: string): string | null {
  const lower = text.toLowerCase();
  if (RESPONSE_FIELD_NAMES.some((name) => name.toLowerCase() === lower)) return null;
  return `one of ${RESPONSE_FIELD_NAMES.join(', ')}`;
}
