/**
 * decK's templates in state files: `${{ env "DECK_NAME" }}` with the filters toInt, toBool, toFloat
 * and indent. They are filled in before the text is read as YAML.
 *
 * Source: go-database-reconciler `pkg/file/template.go`
 */
import { SourceError } from './settings.ts';

const PREFIX = 'DECK_';
const EXPRESSION = /\$\{\{([^}]*)\}\}/g;
const ENV = /^env\s+(?:"([^"]+)"|`([^`]+)`)$/;

/** @throws SourceError  an expression that is not understood, or a variable that is not set */
export function renderTemplate(
  text: string,
  label: string,
  env: Readonly<Record<string, string | undefined>>,
): string {
  if (!text.includes('${{')) return text;
  return text
    .split('\n')
    .map((line) => {
      if (line.trimStart().startsWith('#')) return line;
      return line.replaceAll(EXPRESSION, (_, inner: string) => evaluate(inner, label, env));
    })
    .join('\n');
}

function evaluate(
  inner: string,
  label: string,
  env: Readonly<Record<string, string | undefined>>,
): string {
  const expression = inner.trim();
  const [source = '', ...filters] = expression.split('|').map((part) => part.trim());
  const match = ENV.exec(source);
  const name = match?.[1] ?? match?.[2];
  if (name === undefined) throw unknown(expression, label);
  if (!name.startsWith(PREFIX)) {
    throw new SourceError(`${label}: variable ${name} in a template must begin with ${PREFIX}`);
  }
  const value = env[name];
  if (value === undefined) throw new SourceError(`${label}: variable ${name} is not set`);
  let text = value;
  for (const filter of filters) text = filtered(text, filter, name, expression, label);
  return text;
}

function filtered(
  text: string,
  filter: string,
  name: string,
  expression: string,
  label: string,
): string {
  const [, spaces] = /^indent\s+(\d{1,3})$/.exec(filter) ?? [];
  if (spaces !== undefined) return text.replaceAll('\n', `\n${' '.repeat(Number(spaces))}`);
  const allowed = FILTERS[filter];
  if (allowed === undefined) throw unknown(expression, label);
  if (!allowed.test(text)) {
    // Its value may be a secret.
    throw new SourceError(`${label}: the value of ${name} does not suit ${filter}`);
  }
  return text;
}

const FILTERS: Readonly<Record<string, RegExp | undefined>> = {
  toInt: /^[+-]?\d+$/,
  toBool: /^(?:true|false|True|False|TRUE|FALSE)$/,
  toFloat: /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/,
};

function unknown(expression: string, label: string): SourceError {
  return new SourceError(
    `${label}: template \${{ ${expression} }} is not understood; ` +
      `allowed: \${{ env "${PREFIX}NAME" }} with the filters toInt, toBool, toFloat, indent N`,
  );
}
