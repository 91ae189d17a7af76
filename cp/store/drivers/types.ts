/** Parsers that make node-postgres' values equal to PGlite's. Given per client, never globally. */
import { types } from 'pg';

const INT8 = 20;
const BYTEA = 17;

export const typeParsers = {
  getTypeParser(oid: number, format?: string): (value: string) => unknown {
    if (oid === INT8 && format !== 'binary') return Number;
    if (oid === BYTEA && format !== 'binary') return bytes;
    // `pg-types` types its lookup per format; rows come as text unless binary is asked for.
    return types.getTypeParser(oid, 'text') as (value: string) => unknown;
  },
};

/** `bytea` in hex form (`\x…`), the default since Postgres 9. */
function bytes(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text.slice(2), 'hex'));
}
