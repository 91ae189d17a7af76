/** Asks nodes by the sessions that they have here. */
import type { RpcOutcome } from '#shared/sync/rpc.ts';
import type { AskNodes } from '../nodes/node-calls.ts';
import type { Session } from './runner.ts';

/** @param byNode  may change; read at each call */
export function askerOf(byNode: ReadonlyMap<string, Session>): AskNodes {
  return (to, method, params) => {
    const one = 'node' in to ? byNode.get(to.node) : undefined;
    const sessions = 'group' in to ? byNode.values() : one === undefined ? [] : [one];
    const asked: { node: string; outcome: Promise<RpcOutcome<unknown>> }[] = [];
    for (const session of sessions) {
      const { member } = session;
      if (member === null || ('group' in to && member.groupId !== to.group)) continue;
      asked.push({ node: member.node, outcome: session.ask(method, params) });
    }
    return asked;
  };
}
