/** Settings of `npm start`, which runs one of everything. */
import { defineFields, type RecordOf } from '../schema/infer.ts';
import { COMMON_SETTINGS } from './common.ts';
import { listenError } from './listen.ts';

export const DEV_SETTINGS = defineFields({
  ...COMMON_SETTINGS,
  HEADGATE_EDGE_LISTEN: {
    type: 'array',
    required: true,
    default: ['127.0.0.1:8787'],
    elements: { type: 'string', custom_validator: listenError },
    description:
      'Address of the edge data plane that npm start runs in workerd; off leaves it out.',
  },
});

export type DevSettings = RecordOf<typeof DEV_SETTINGS>;
