/** Paths that may be read as another, and upstreams that do: for tests that nobody gets past a guard so. */

/** How upstreams turn the path of a request line into the path of a resource. */
export const STYLES: Readonly<Record<string, (path: string) => string>> = {
  'RFC 3986': (path) => withoutDots(decoded(path, /%(2[de]|3\d|[46][1-9a-f]|[57][\da]|5f|7e)/gi)),
  'one that merges slashes': (path) => withoutDots(merged(decoded(path))),
  'one that cuts parameters': (path) => withoutDots(merged(decoded(uncut(path)))),
  'one that decodes, then cuts parameters': (path) => withoutDots(merged(uncut(decoded(path)))),
  'one that decodes twice': (path) => {
    return withoutDots(merged(decoded(decoded(path)).replaceAll('\\', '/')));
  },
  WHATWG: (path) => decoded(new URL(`http://upstream${path}`).pathname),
};

function decoded(path: string, escapes = /%([\da-f]{2})/gi): string {
  return path.replace(escapes, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

function merged(path: string): string {
  return path.replace(/\/+/g, '/');
}

function uncut(path: string): string {
  return path.replace(/;[^/]*/g, '');
}

function withoutDots(path: string): string {
  const kept: string[] = [];
  for (const segment of path.split('/').slice(1)) {
    if (segment === '..') kept.pop();
    else if (segment !== '.') kept.push(segment);
  }
  return `/${kept.join('/')}`;
}

/** What a path may be put together from to look like another. */
const PIECES = [
  '',
  ...'. .. %2e %2E%2e .%2e %252e%252e ..; ..;x ; ;/.. ..%2f %2f %5c \\ ..\\ ..%5c %2e%2e%2f x'.split(
    ' ',
  ),
  ...'%00 %20 %09 ..%20 ..%09 %c0%ae%c0%ae %e0%80%ae %ef%bc%8e%ef%bc%8e admin %61dmin'.split(' '),
  ...'admin;x=1 admin%2f admin. %2561dmin admin%3b admin%00 admin%23 admin? %2fadmin %5cadmin'.split(
    ' ',
  ),
  ...'\\admin %252fadmin %255cadmin ;admin .; %2e; ..%3b ..%253b %3b # admin# % %2 %zz api'.split(
    ' ',
  ),
  ...'api%2fadmin api%5cadmin api; %2561pi'.split(' '),
];

export function* spellings(): Generator<string> {
  for (const one of PIECES) {
    for (const two of PIECES) {
      yield* [`/${one}/${two}`, `/${one}${two}`, `//${one}/${two}`, `/${one}/${two}/admin`];
      yield* [`/x/${one}/${two}/admin`, `/${one}/${two}/../admin`, `/api/${one}/${two}`];
    }
  }
}
