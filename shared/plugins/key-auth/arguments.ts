/** Reading and removing arguments of a query or a form, without touching the others. */

/** The values of an argument, decoded; `true` for one without `=`, as Kong reads it. */
export function argumentValues(text: string, name: string): (string | true)[] {
  const values: (string | true)[] = [];
  for (const part of text.split('&')) {
    const equals = part.indexOf('=');
    if (decodeArgument(equals < 0 ? part : part.slice(0, equals)) !== name) continue;
    values.push(equals < 0 ? true : decodeArgument(part.slice(equals + 1)));
  }
  return values;
}

/** The text without the argument, the rest byte for byte; null when nothing is left. */
export function withoutArgument(text: string, name: string): string | null {
  const rest = text.split('&').filter((part) => {
    const equals = part.indexOf('=');
    return decodeArgument(equals < 0 ? part : part.slice(0, equals)) !== name;
  });
  return rest.length === 0 ? null : rest.join('&');
}

/** `+` is a space; what is no UTF-8 or no escape stays as it is. */
function decodeArgument(text: string): string {
  if (!/[%+]/.test(text)) return text;
  const spaced = text.replaceAll('+', ' ');
  try {
    return decodeURIComponent(spaced);
  } catch {
    return spaced;
  }
}
