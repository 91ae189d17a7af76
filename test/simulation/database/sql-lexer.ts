/** Text of SQL → tokens. */

export interface Token {
  readonly type: 'word' | 'quoted' | 'string' | 'number' | 'param' | 'op' | 'end';
  /** Words in lower case. */
  readonly text: string;
}

const PATTERN = new RegExp(
  [
    String.raw`(?<space>\s+|--[^\n]*)`,
    String.raw`(?<dollar>\$\$[\s\S]*?\$\$)`,
    String.raw`\$(?<param>\d+)`,
    String.raw`'(?<string>(?:[^']|'')*)'`,
    String.raw`"(?<quoted>(?:[^"]|"")*)"`,
    String.raw`(?<number>\d+(?:\.\d+)?)`,
    String.raw`(?<word>[A-Za-z_][A-Za-z0-9_]*)`,
    String.raw`(?<op>::|<<|<=|>=|<>|!=|=>|->>|->|#>>|#>|@>|<@|&&|\|\||[-+*/%<>=(),.;[\]~])`,
  ].join('|'),
  'y',
);

export function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  PATTERN.lastIndex = 0;
  while (PATTERN.lastIndex < text.length) {
    const at = PATTERN.lastIndex;
    const groups = PATTERN.exec(text)?.groups;
    if (groups === undefined) throw new Error(`no SQL that the model reads: ${text.slice(at)}`);
    const token = tokenOf(groups);
    if (token !== null) tokens.push(token);
  }
  tokens.push({ type: 'end', text: '' });
  return tokens;
}

function tokenOf(groups: Partial<Record<string, string>>): Token | null {
  const { space, dollar, param, string, quoted, number, word, op } = groups;
  if (space !== undefined) return null;
  if (dollar !== undefined) return { type: 'string', text: dollar.slice(2, -2) };
  if (param !== undefined) return { type: 'param', text: param };
  if (string !== undefined) return { type: 'string', text: string.replaceAll("''", "'") };
  if (quoted !== undefined) return { type: 'quoted', text: quoted.replaceAll('""', '"') };
  if (number !== undefined) return { type: 'number', text: number };
  if (word !== undefined) return { type: 'word', text: word.toLowerCase() };
  return { type: 'op', text: op ?? '' };
}
