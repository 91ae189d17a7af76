/** The secret part of a join token's text, to show that nothing says it. */
import { must } from '#shared/base/assert.ts';

/** By position: base64url may hold the underscore that separates the parts. */
export function secretOf(token: string): string {
  return must(/_([\w-]{43})_[\w-]{43}$/.exec(token)?.[1], 'a join token');
}
