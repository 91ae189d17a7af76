/** How logs and traces are kept until they are sent, and what said so before Kong 3.3. */
import { defineField, defineFields } from '../schema/infer.ts';

export const queue = defineField({
  type: 'record',
  required: true,
  fields: {
    max_batch_size: {
      type: 'integer',
      default: 1,
      between: [1, 1_000_000],
      description: 'Most entries that are sent together.',
    },
    max_coalescing_delay: {
      type: 'number',
      default: 1,
      between: [0, 3600],
      description: 'Seconds to wait for more entries.',
    },
    max_entries: {
      type: 'integer',
      default: 10_000,
      between: [1, 1_000_000],
      description: 'Entries that may wait; beyond that the oldest are dropped.',
    },
    max_bytes: { type: 'integer', description: 'Bytes that may wait; none for any number.' },
    max_retry_time: {
      type: 'number',
      default: 60,
      description: 'Seconds after which a batch that fails is given up; -1 gives up at once.',
    },
    initial_retry_delay: {
      type: 'number',
      default: 0.01,
      between: [0.001, 1_000_000],
      description: 'Seconds before the second try; doubled with each.',
    },
    max_retry_delay: {
      type: 'number',
      default: 60,
      between: [0.001, 1_000_000],
      description: 'Most seconds between two tries.',
    },
    concurrency_limit: {
      type: 'integer',
      default: 1,
      one_of: [-1, 1],
      description: 'Batches sent at once; -1 for any number.',
    },
  },
});

export const FORMER_QUEUE = defineFields({
  retry_count: {
    type: 'integer',
    deprecation: {
      message: 'config.retry_count has no effect, use config.queue.max_retry_time',
      removal_in_version: '4.0',
      old_default: 10,
    },
  },
  queue_size: {
    type: 'integer',
    deprecation: {
      message: 'config.queue_size is deprecated, use config.queue.max_batch_size',
      removal_in_version: '4.0',
      old_default: 1,
    },
  },
  flush_timeout: {
    type: 'number',
    deprecation: {
      message: 'config.flush_timeout is deprecated, use config.queue.max_coalescing_delay',
      removal_in_version: '4.0',
      old_default: 2,
    },
  },
});
