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

  /** A service and nothing else. */
  add(): Promise<void> {
    return this.#write(this.#world.pick(this.#world.base.workspaces), { isMarking: false });
  }

  /** Marks all canaries of a workspace, and adds or removes a service or two besides. */
  async write(
    wanted: string | null = null,
    written: (controlPlane: string) => void = () => {},
  ): Promise<void> {
    const ws = wanted ?? this.#world.pick(this.#world.base.workspaces);
    await this.#write(ws, { isMarking: true, written });
  }

  async #write(
    ws: string | null,
    {
      isMarking,
      written,
    }: { readonly isMarking: boolean; readonly written?: (controlPlane: string) => void },
  ): Promise<void> {
    const world = this.#world;
    const cp = world.pick(world.liveControlPlanes);
    if (cp === null || ws === null) return;
    this.#count += 1;
    const mark = `n${this.#count}`;
    const added =
      !isMarking || world.random.chance(0.3) ? [newEntity('services', service(mark))] : [];
    const isRemoving = isMarking && world.random.chance(0.2);
    const { store } = cp.running;
    try {
      const { version } = await store.write(ws, ACTOR, async (tx) => {
        for (const name of isMarking ? CANARIES : []) await markOne(tx, ws, name, mark);
        for (const entity of added) await tx.insert(definition('services'), ws, entity);
        if (isRemoving) await removeOne(tx, ws);
      });
      written?.(cp.process.name);
      world.oracle.wrote({ ws, mark, isMarking, outcome: 'acked', version });
    } catch (error) {
      const isUnknown = error instanceof StoreError && error.failure.code === 'outcome_unknown';
      if (!(error instanceof StoreError)) world.scheduler.trace(`write failed: ${String(error)}`);
      const outcome = isUnknown ? 'unknown' : 'failed';
      world.oracle.wrote({ ws, mark, isMarking, outcome, version: 0 });
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
