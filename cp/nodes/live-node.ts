/** What is known of a node while it is connected here: heartbeats stay in memory (decision 9). */
import type { About, Position } from '#shared/wire/frames.ts';
import type { Report } from '../sync/session.ts';

export interface LiveNode {
  readonly id: string;
  readonly groupId: string;
  readonly ip: string;
  readonly about: About;
  readonly level: number;
  position: Position;
  persisted: boolean | null;
  /** Why it does not serve the head, or what it set aside; null when all is well. */
  lastError: string | null;
  /** Epoch ms. */
  lastSeenMs: number;
  updatedMs: number;
  /** Something changed that was not written yet. */
  isDirty: boolean;
}

/** Longest error kept per node: it comes from the node, and is shown to people. */
const ERROR_LENGTH_MAX = 500;

export function applyReport(node: LiveNode, report: Report, nowMs: number): void {
  node.lastSeenMs = nowMs;
  switch (report.type) {
    case 'alive':
    case 'health':
      return;
    case 'status':
      update(node, nowMs, { position: report.position, lastError: report.lastError });
      return;
    case 'applied':
      update(node, nowMs, {
        position: report.position,
        persisted: report.persisted,
        lastError: quarantineText(report.quarantined),
      });
      return;
    case 'refused': {
      const entity = report.entity === null ? '' : ` (${report.entity.kind} ${report.entity.id})`;
      update(node, nowMs, {
        lastError: `revision ${report.position.revision}: ${report.code}${entity} ${report.detail}`,
      });
    }
  }
}

function quarantineText(
  quarantined: Extract<Report, { type: 'applied' }>['quarantined'],
): string | null {
  if (quarantined.length === 0) return null;
  const named: string[] = [];
  let room = ERROR_LENGTH_MAX - 'set aside: , and 1000 more'.length;
  for (const { kind, id, reason } of quarantined) {
    const text = `${kind} ${id} (${reason})`;
    room -= text.length + ', '.length;
    if (room < 0 && named.length > 0) break;
    named.push(text);
  }
  // Whoever reads it must know that there are others; the node's own status has more of them.
  const left = quarantined.length - named.length;
  return `set aside: ${named.join(', ')}${left === 0 ? '' : `, and ${left} more`}`;
}

function update(
  node: LiveNode,
  nowMs: number,
  facts: Partial<Pick<LiveNode, 'position' | 'persisted' | 'lastError'>>,
): void {
  Object.assign(node, facts);
  node.lastError = node.lastError?.slice(0, ERROR_LENGTH_MAX) ?? null;
  node.updatedMs = nowMs;
  node.isDirty = true;
}
