/** Where there is no PostgreSQL server: the suite is left out under a name that says what to install. */
import { describe, it } from 'vitest';
import type { MissingPostgres } from './postgres.ts';

/** Never in CI: `startPostgres` fails there, so that a missing server cannot pass for a success. */
export function skipWithoutPostgres({ missing }: MissingPostgres): void {
  describe.skip(missing, () => it('needs PostgreSQL', () => {}));
}
