/**
 * URLs as LuaSocket takes them apart, which is lenient: nothing is decoded and few things are wrong.
 *
 * Source: LuaSocket `url.parse`
 */

/** Parts as they stand in the text; null for one that is missing. */
export interface LooseUrl {
  readonly scheme: string | null;
  readonly userinfo: string | null;
  /** Without the brackets of an IPv6 address. */
  readonly host: string | null;
  /** What stands behind the colon, digits or not. */
  readonly port: string | null;
  /** Without query, fragment and parameters; '' for none. */
  readonly path: string;
}

export function parseUrl(text: string): LooseUrl {
  const match = /^(?:([A-Za-z0-9][A-Za-z0-9+.-]*):)?(?:\/\/([^/?#]*))?([^?#;]*)/.exec(text) ?? [];
  const [, scheme = null, authority = '', path = ''] = match;
  const at = authority.indexOf('@');
  const withoutUser = authority.slice(at + 1);
  const [, name = '', port = null] = /^(.*?)(?::([^:\]]*))?$/s.exec(withoutUser) ?? [];
  const isBracketed = name.startsWith('[') && name.endsWith(']');
  const host = isBracketed ? name.slice(1, -1) : name;
  return {
    scheme,
    userinfo: at === -1 ? null : authority.slice(0, at),
    host: host === '' ? null : host,
    port,
    path,
  };
}
