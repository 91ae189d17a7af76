/** Whoever changes the configuration: transactions over several entities, by any control plane. */
import { must } from '#shared/base/assert.ts';
import { StoreError, type WriteTx } from '../../cp/store/store.ts';
import { definition, newEntity } from './base.ts';
import { CANARIES } from './oracle.ts';
import type { World } from './world.ts';

const ACTOR = { name: 'writer', source: null };

export class Writer {
  readonly #world: World;
  #count = 0;

  constructor(world: World) {
    this.#world = world;
  }

  /** Marks all canaries of a workspace, and adds or removes a service or two besides. */
  async write(
    wanted: string | null = null,
    written: (controlPlane: string) => unknown = () => {},
  ): Promise<void> {
    const world = this.#world;
    const cp = world.pick(world.liveControlPlanes);
    const ws = wanted ?? world.pick(world.base.workspaces);
    if (cp === null || ws === null) return;
    this.#count += 1;
    const mark = `n${this.#count}`;
    const added = world.random.chance(0.3) ? [newEntity('services', service(mark))] : [];
    const isRemoving = world.random.chance(0.2);
    const { store } = cp.running;
    try {
      const { version } = await store.write(ws, ACTOR, async (tx) => {
        for (const name of CANARIES) await markOne(tx, ws, name, mark);
        for (const entity of added) await tx.insert(definition('services'), ws, entity);
        if (isRemoving) await removeOne(tx, ws);
      });
      written(cp.process.name);
      world.oracle.wrote({ ws, mark, outcome: 'acked', version });
    } catch (error) {
      const isUnknown = error instanceof StoreError && error.failure.code === 'outcome_unknown';
      if (!(error instanceof StoreError)) world.scheduler.trace(`write failed: ${String(error)}`);
      world.oracle.wrote({ ws, mark, outcome: isUnknown ? 'unknown' : 'failed', version: 0 });
    }
  }
}

function service(mark: string): { name: string; host: string; tags: string[] } {
  return { name: `extra-${mark}`, host: 'extra.test', tags: [mark] };
}

async function markOne(tx: WriteTx, ws: string, name: string, mark: string): Promise<void> {
  const services = definition('services');
  const found = must(await tx.getBy(services, ws, 'name', name), name);
  await tx.update(services, ws, { ...found, tags: [mark] });
}

async function removeOne(tx: WriteTx, ws: string): Promise<void> {
  const services = definition('services');
  const { rows } = await tx.list(services, ws, { size: 50, after: null });
  const extra = rows.find(({ name }) => String(name).startsWith('extra-'));
  if (extra !== undefined) await tx.remove(services, ws, extra.id);
}
