/** `/debug/*`: the log level while running. */
import { isLevelName, type LevelName, TIMEOUT_S_DEFAULT, TIMEOUT_S_MAX } from '../../log-level.ts';
import type { AdminContext, AdminRequest, AdminResponse, Endpoint } from '../context.ts';
import { AdminError } from '../errors.ts';

export function debugEndpoints(): Endpoint[] {
  return [
    {
      path: '/debug/node/log-level',
      area: 'cluster',
      methods: {
        GET: ({ logLevel }) => ({
          status: 200,
          body: { message: `log level: ${logLevel.current}` },
        }),
      },
    },
    {
      path: '/debug/node/log-level/:0',
      area: 'cluster',
      parameters: ['log_level'],
      methods: { PUT: change },
    },
    {
      path: '/debug/cluster/control-planes-nodes/log-level/:0',
      area: 'cluster',
      parameters: ['log_level'],
      methods: { PUT: changeEverywhere },
    },
  ];
}

function change(context: AdminContext, request: AdminRequest): AdminResponse {
  const { level, timeoutS } = asked(request);
  if (level === context.logLevel.current) {
    return { status: 200, body: { message: `log level is already ${level}` } };
  }
  context.logLevel.set(level, timeoutS);
  return CHANGED;
}

async function changeEverywhere(
  context: AdminContext,
  request: AdminRequest,
): Promise<AdminResponse> {
  const { level, timeoutS } = asked(request);
  await context.logLevel.setEverywhere(level, timeoutS);
  return CHANGED;
}

const CHANGED: AdminResponse = { status: 200, body: { message: 'log level changed' } };

function asked(request: AdminRequest): { level: LevelName; timeoutS: number } {
  const [level = ''] = request.params;
  if (!isLevelName(level)) throw new AdminError(400, { message: `unknown log level: ${level}` });
  const text = request.query.get('timeout');
  const timeoutS = text === null ? TIMEOUT_S_DEFAULT : Number(text);
  if (text?.trim() === '' || !(timeoutS >= 0)) {
    throw new AdminError(400, { message: 'timeout must be greater than or equal to 0' });
  }
  if (timeoutS > TIMEOUT_S_MAX) {
    throw new AdminError(400, { message: `timeout must be at most ${TIMEOUT_S_MAX} seconds` });
  }
  return { level, timeoutS };
}
