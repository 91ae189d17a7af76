/**
 * A failpoint, loaded into a data plane with `node --import`: a configuration with the route
 * `CRASH_ROUTE` takes the process with it as soon as it is served. `CRASH_AT` says when: `swap` (at once),
 * `later` (when it is saved and acknowledged too), or `build` (before it is served).
 */
import { Serving } from '../../node-dp/serving.ts';
import { Gateway } from '../../shared/proxy/gateway.ts';
import type { ConfigTree } from '../../shared/config/tree.ts';

const LATER_MS = 500;
const route = process.env['CRASH_ROUTE'] ?? 'poison';
const at = process.env['CRASH_AT'] ?? 'swap';

function isPoison(tree: ConfigTree): boolean {
  for (const { kind, body } of tree.records()) {
    if (kind === 'routes' && body['name'] === route) return true;
  }
  return false;
}

function crash(): void {
  process.kill(process.pid, 'SIGKILL');
}

const { swap } = Gateway.prototype;
Gateway.prototype.swap = function (tables) {
  swap.call(this, tables);
  if (!isPoison(tables.tree)) return;
  if (at === 'swap') crash();
  if (at === 'later') setTimeout(crash, LATER_MS);
};

const { take } = Serving.prototype;
Serving.prototype.take = function (state, secrets) {
  if (isPoison(state.tree) && at === 'build') crash();
  return take.call(this, state, secrets);
};
