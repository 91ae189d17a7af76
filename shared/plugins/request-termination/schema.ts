/** request-termination: answers in place of the upstream. */
import { defineFields, type RecordOf } from '../../schema/infer.ts';
import { headerName, protocolsHttp } from '../../schema/typedefs.ts';
import { definePlugin } from '../plugin.ts';

const config = defineFields({
  status_code: { type: 'integer', required: true, default: 503, between: [100, 599] },
  message: {
    type: 'string',
    description: 'Message of the answer, in the form that the client asks for.',
  },
  content_type: { type: 'string', description: 'Content type of `body`.' },
  body: { type: 'string', description: 'Body of the answer as it stands.' },
  echo: {
    type: 'boolean',
    required: true,
    default: false,
    description: 'Whether the answer shows the request; for debugging.',
  },
  trigger: { ...headerName, description: 'Header or query argument without which requests pass.' },
});

export type RequestTerminationConfig = RecordOf<typeof config>;

export const requestTermination = definePlugin({
  name: 'request-termination',
  version: '3.9.4',
  priority: 2,
  phases: ['access'],
  runtimes: [],
  protects: true,
  fields: {
    protocols: protocolsHttp,
    config: { type: 'record', required: true, fields: config, custom_validator: answerError },
  },
});

function answerError(answer: RequestTerminationConfig): string | null {
  const { message, content_type: contentType, body, echo } = answer;
  const hasBody = contentType !== null || body !== null;
  if (message !== null && hasBody) return 'message cannot be used with content_type or body';
  if (contentType !== null && body === null) return 'content_type requires a body';
  return echo && hasBody ? 'echo cannot be used with content_type and body' : null;
}
