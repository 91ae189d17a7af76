/** What is known of a node while it is connected here: heartbeats stay in memory (decision 9). */
import type { About, FrameOf, Position } from '#shared/wire/frames.ts';
import type { Report } from '../sync/session.ts';

export type Quarantined = FrameOf<'ack'>['quarantined'];

/** A revision that a node does not serve, and why. */
export type NodeRefusal = Omit<Extract<Report, { type: 'refused' }>, 'type'>;

export interface LiveNode {
  readonly id: string;
  readonly groupId: string;
  readonly ip: string;
  readonly about: About;
  readonly level: number;
  /** When the certificate that it showed expires, epoch seconds; null when it showed none. */
  readonly certificateExpiry: number | null;
  position: Position;
  persisted: boolean | null;
  /** Why it does not serve the head, or what it set aside; null when all is well. */
  lastError: string | null;
  /** What it does without. */
  quarantined: Quarantined;
  /** The newest revision that it refused; null once it serves another. */
  refusal: NodeRefusal | null;
  /** Epoch ms. */
  lastSeenMs: number;
  updatedMs: number;
  /** It came, or its condition changed, and that was not written yet. What it serves is not part of it. */
  isDirty: boolean;
}

/** Longest error kept per node: it comes from the node, and is shown to people. */
export const ERROR_LENGTH_MAX = 500;

/** @returns whether what it serves or refuses is another revision than before */
export function applyReport(node: LiveNode, report: Report, nowMs: number): boolean {
  node.lastSeenMs = nowMs;
  switch (report.type) {
    case 'health':
      return false;
    case 'alive':
      return moved(node, report.position);
    case 'status':
      update(node, nowMs, { lastError: report.lastError });
      return moved(node, report.position);
    case 'applied': {
      const { persisted, quarantined } = report;
      const hadRefused = node.refusal !== null;
      node.refusal = null;
      update(node, nowMs, { persisted, quarantined, lastError: quarantineText(quarantined) });
      return moved(node, report.position) || hadRefused;
    }
    case 'refused': {
      const { type: _, ...refusal } = report;
      const { position, code, detail } = refusal;
      const entity =
        refusal.entity === null ? '' : ` (${refusal.entity.kind} ${refusal.entity.id})`;
      node.refusal = { ...refusal, detail: detail.slice(0, ERROR_LENGTH_MAX) };
      update(node, nowMs, {
        lastError: `revision ${position.revision}: ${code}${entity} ${detail}`,
      });
      return true;
    }
  }
}

/**
 * Kong's words, where they fit. `unknown` is also what it serves when the newest is not to its taste: Kong
 * has no word for a configuration that a node refuses.
 */
export function syncStatusOf(node: Pick<LiveNode, 'position' | 'refusal'>): string {
  if (node.refusal?.code === 'unknown_feature') return 'kong_version_incompatible';
  return node.position.hash === '' || node.refusal !== null ? 'unknown' : 'normal';
}

function moved(node: LiveNode, position: Position): boolean {
  const isSame = position.hash === node.position.hash;
  node.position = position;
  return !isSame;
}

function quarantineText(quarantined: Quarantined): string | null {
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

/** Dirty only when something changed: a row is written for a transition, not for every revision. */
function update(
  node: LiveNode,
  nowMs: number,
  facts: Partial<Pick<LiveNode, 'persisted' | 'lastError' | 'quarantined'>>,
): void {
  const lastError = facts.lastError?.slice(0, ERROR_LENGTH_MAX) ?? null;
  const { persisted = node.persisted, quarantined = node.quarantined } = facts;
  node.updatedMs = nowMs;
  // `lastError` tells what is set aside, but for what it has no room for.
  const isSame =
    lastError === node.lastError &&
    persisted === node.persisted &&
    JSON.stringify(quarantined) === JSON.stringify(node.quarantined);
  if (isSame) return;
  Object.assign(node, { lastError, persisted, quarantined });
  node.isDirty = true;
}
