/** Answers kept for repeated requests (`Idempotency-Key`). */
import type { Migration } from '../migrate.ts';

export const transactions: Migration = {
  number: 5,
  name: 'transactions',
  floor: 1,
  statements: [],
};
