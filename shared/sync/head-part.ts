/** What a data plane shows when it is asked what it serves. */
import type { ReplicaState } from '../config/replica.ts';
import { HEAD_PART_LENGTH, type DownMethods, type ResultOf } from '../wire/rpc-methods.ts';
import { RpcRefusal } from './rpc.ts';

/** @throws RpcRefusal while nothing is served */
export function headPart(
  served: Pick<ReplicaState, 'signed'> | null,
  from: number,
): ResultOf<DownMethods['head']> {
  if (served === null) throw new RpcRefusal('nothing is served');
  const { manifest, signature } = served.signed;
  const part = manifest.slice(from, from + HEAD_PART_LENGTH);
  return { manifest: part, length: manifest.length, signature };
}
