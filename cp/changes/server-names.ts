/**
 * Which server names (SNI) a route may be asked under, so that its group gets their certificates and no
 * others. Both sides become keys: a route and an SNI that some name belongs to have one in common. Rather
 * a certificate too many than one too few.
 */

/** What an SNI is needed as. `name`: `a.b`, `*.b`, `a.*` or `*`. */
export function keysOfName(name: string): string[] {
  const text = name.toLowerCase();
  const keys = [`=${text}`, ANY];
  if (text === '*') return keys;
  if (text.startsWith('*')) keys.push(LEFT, `under ${withoutStar(text)}`);
  if (text.endsWith('*')) keys.push(RIGHT, `before ${withoutStar(text)}`);
  const labels = withoutStar(text);
  keys.push(...suffixes(labels).map((suffix) => `under ${suffix}`));
  keys.push(...prefixes(labels).map((prefix) => `before ${prefix}`));
  return keys;
}

/**
 * What a route needs.
 *
 * @param hosts  host names with at most one `*` at either end, with or without port; none: any
 */
export function keysOfHosts(hosts: readonly string[]): string[] {
  const names = hosts.map((host) => host.toLowerCase().replace(/:\d+$/, ''));
  return names.length === 0 ? [ANY] : ['=*', ...names.flatMap(keysOfHost)];
}

/** Any SNI that has one of these keys. */
export interface NamePatterns {
  readonly isAny: boolean;
  readonly exact: readonly string[];
  /** For SQL's LIKE. */
  readonly like: readonly string[];
}

export function patternsOf(keys: readonly string[]): NamePatterns {
  const after = (start: string) =>
    keys.filter((key) => key.startsWith(start)).map((key) => key.slice(start.length));
  return {
    isAny: keys.includes(ANY),
    exact: after('='),
    like: [
      ...after('under ').map((name) => `%.${escaped(name)}`),
      ...after('before ').map((name) => `${escaped(name)}.%`),
      ...(keys.includes(LEFT) ? ['*%'] : []),
      ...(keys.includes(RIGHT) ? ['%*'] : []),
    ],
  };
}

const ANY = 'any';
/** A name that begins, or ends, with `*`: it may meet whatever has its `*` at the other end. */
const LEFT = 'left';
const RIGHT = 'right';
/** A longer one is no name of DNS. */
const NAME_LENGTH_MAX = 255;

function keysOfHost(host: string): string[] {
  if (host.length > NAME_LENGTH_MAX) return [];
  const labels = withoutStar(host);
  const above = [
    ...suffixes(labels).map((suffix) => `=*.${suffix}`),
    ...prefixes(labels).map((prefix) => `=${prefix}.*`),
  ];
  if (host.startsWith('*')) return [`under ${labels}`, RIGHT, ...above];
  if (host.endsWith('*')) return [`before ${labels}`, LEFT, ...above];
  return [`=${host}`, ...above];
}

function withoutStar(name: string): string {
  return name.replace(/^\*\.?/, '').replace(/\.?\*$/, '');
}

/** `b.c` and `c` of `a.b.c`. */
function suffixes(name: string): string[] {
  const labels = name.split('.');
  return labels.slice(1).map((_, index) => labels.slice(index + 1).join('.'));
}

/** `a` and `a.b` of `a.b.c`. */
function prefixes(name: string): string[] {
  const labels = name.split('.');
  return labels.slice(1).map((_, index) => labels.slice(0, index + 1).join('.'));
}

function escaped(text: string): string {
  return text.replaceAll(/[\\%_]/g, String.raw`\$&`);
}
