/** Values of header fields as `node:http` and undici take them: one character per byte. */

/**
 * What came over the wire passes as it is. A text of the configuration (a consumer's name, a header
 * to add) may hold more than bytes: it goes out in UTF-8, as from Kong. Control characters become
 * spaces (RFC 9110 section 5.5); both libraries would throw on them.
 */
export function fieldValue(value: string): string {
  if (!UNSENDABLE.test(value)) return value;
  return Buffer.from(value, 'utf8').toString('latin1').replace(CONTROLS, ' ');
}

const UNSENDABLE = /[^\t\x20-\x7e\x80-\xff]/;
// oxlint-disable-next-line no-control-regex -- they are what is looked for
const CONTROLS = /[\0-\x08\n-\x1f\x7f]/g;
