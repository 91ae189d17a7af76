/** A target as configured: a name or an address, a port and a weight. */
import type { Target as TargetEntity } from '../entities/target.ts';

/** Port of a target that names none. */
export const TARGET_PORT_DEFAULT = 8000;

export interface Target {
  /** `host:port`; names it within its Upstream. */
  readonly key: string;
  /** Host name or address, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  /** 0: gets nothing new. */
  readonly weight: number;
}

/** What was read of an entity, which is not changed: all but a few are the same from version to version. */
const read = new WeakMap<object, Target | null>();

/** Splits `host:port`; the port is 8000 when absent. Null when there is no host. */
export function readTarget(entity: Pick<TargetEntity, 'target' | 'weight'>): Target | null {
  let target = read.get(entity);
  if (target === undefined) {
    target = parseTarget(entity);
    read.set(entity, target);
  }
  return target;
}

function parseTarget(entity: Pick<TargetEntity, 'target' | 'weight'>): Target | null {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)|([^[\]]*:[^[\]]*:[^[\]]*))(?::(\d{1,5}))?$/.exec(
    entity.target,
  );
  const host = match?.[1] ?? match?.[2] ?? match?.[3];
  if (match === null || host === undefined) return null;
  const port = match[4] === undefined ? TARGET_PORT_DEFAULT : Number(match[4]);
  return { key: targetKey(host, port), host, port, weight: entity.weight ?? 100 };
}

/** @param host  IPv6 without brackets */
export function targetKey(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
