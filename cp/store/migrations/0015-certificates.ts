/** When the certificates expire that data planes show. */
import type { Migration } from '../migrate.ts';

const statements = [
  // Epoch seconds, of the certificate that the node showed last; null: it showed none.
  'ALTER TABLE nodes ADD COLUMN cert_expiry bigint',
];

export const certificates: Migration = {
  number: 15,
  name: 'certificates',
  floor: 12,
  statements,
};
