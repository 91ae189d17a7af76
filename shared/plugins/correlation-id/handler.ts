/** correlation-id: takes the id a request brings, or gives it one. */
import type { Platform } from '../../platform/platform.ts';
import type { RequestContext } from '../../proxy/context.ts';
import type { PluginHandler } from '../plugin.ts';
import type { CorrelationIdConfig } from './schema.ts';

export interface CorrelationId {
  /** As configured; null: nothing to do. */
  readonly headerName: string | null;
  readonly lowerName: string;
  readonly isEchoed: boolean;
  readonly generate: (ctx: RequestContext) => string;
}

const SHARED_KEY = 'correlation-id';

/** Source: kong/plugins/correlation-id/handler.lua */
export const correlationIdHandler: PluginHandler<CorrelationIdConfig, CorrelationId> = {
  prepare(config) {
    return {
      headerName: config.header_name,
      lowerName: (config.header_name ?? '').toLowerCase(),
      isEchoed: config.echo_downstream,
      generate: makeGenerator(config.generator),
    };
  },

  access(ctx, prepared) {
    if (prepared.headerName === null) return;
    let id = ctx.request.headers.get(prepared.lowerName);
    if (id === null || id === '') id = prepared.generate(ctx);
    // Also where a client's Connection field had taken it away: upstreams correlate by it.
    if (ctx.upstreamHeaders.get(prepared.lowerName) !== id) {
      ctx.upstreamHeaders.set(prepared.headerName, id);
    }
    if (prepared.isEchoed) ctx.shared.set(SHARED_KEY, id);
  },

  headerFilter(ctx, prepared) {
    if (!prepared.isEchoed || prepared.headerName === null || ctx.response === null) return;
    // Nothing is kept when the access phase did not come, as on a 404.
    const kept = ctx.shared.get(SHARED_KEY) ?? ctx.request.headers.get(prepared.lowerName);
    const id = typeof kept === 'string' && kept !== '' ? kept : prepared.generate(ctx);
    ctx.response.headers.set(prepared.headerName, id);
  },
};

function makeGenerator(name: CorrelationIdConfig['generator']): (ctx: RequestContext) => string {
  switch (name) {
    case 'uuid':
      return ({ platform }) => platform.random.uuid();
    case 'uuid#counter': {
      const next = makeCounter();
      return ({ platform }) => next(platform, '#');
    }
    case 'tracker':
      return makeTracker();
  }
}

/** One UUID for the life of this configuration, and a number per request. */
function makeCounter(): (platform: Platform, separator: string) => string {
  let prefix: string | null = null;
  let count = 0;
  return (platform, separator) => {
    prefix ??= platform.random.uuid();
    count += 1;
    return `${prefix}${separator}${count}`;
  };
}

/**
 * Kong's shape: address, port, process, connection, request of the connection, time. Runtimes do not
 * all tell process and connection, so a random number and a counter stand there.
 */
function makeTracker(): (ctx: RequestContext) => string {
  let instance: number | null = null;
  let count = 0;
  return ({ platform, request }) => {
    instance ??= Math.floor(platform.random.next() * 0x1_0000_0000);
    count += 1;
    const seconds = (platform.clock.now() / 1000).toFixed(3);
    return `${request.peerAddress}-${request.localPort}-${instance}-${count}-1-${seconds}`;
  };
}
