/** Which headers carry a trace from the client and to the upstream. */
import { defineField } from '../schema/infer.ts';

export const propagation = defineField({
  type: 'record',
  required: true,
  fields: {
    extract: {
      type: 'array',
      elements: {
        type: 'string',
        one_of: ['jaeger', 'gcp', 'ot', 'w3c', 'datadog', 'b3', 'aws'],
      },
      description: 'Kinds of headers to read, in this order; the first that is there counts.',
    },
    clear: {
      type: 'array',
      elements: { type: 'string' },
      description: 'Headers to take out of the request before it goes upstream.',
    },
    inject: {
      type: 'array',
      elements: {
        type: 'string',
        one_of: ['preserve', 'b3-single', 'jaeger', 'gcp', 'ot', 'w3c', 'datadog', 'b3', 'aws'],
      },
      description: 'Kinds of headers to write; `preserve` is the kind that was read.',
    },
    default_format: {
      type: 'string',
      required: true,
      one_of: ['b3-single', 'jaeger', 'gcp', 'ot', 'w3c', 'datadog', 'b3', 'aws'],
      description: 'Kind to write where `preserve` finds none that was read.',
    },
  },
});
