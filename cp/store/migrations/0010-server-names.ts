/** Finds SNIs however their names are written: a handshake does not care. */
import type { Migration } from '../migrate.ts';

export const serverNames: Migration = {
  number: 10,
  name: 'server_names',
  floor: 1,
  statements: ['CREATE INDEX snis_lower_name_idx ON snis (ws_id, lower(name))'],
};
