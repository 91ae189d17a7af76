import { describe, expect, it } from 'vitest';
import { testId } from '../../test/support/builders.ts';
import { applyReport, type LiveNode } from './live-node.ts';

const POSITION = { epoch: 1, revision: 2, hash: 'a'.repeat(64) };

describe('what a node set aside', () => {
  function lastError(count: number, reason: string): string | null {
    const quarantined = Array.from({ length: count }, () => {
      return { kind: 'routes', id: testId(), reason };
    });
    // What is read of it is what the report says.
    const node = { position: POSITION, lastError: null } as unknown as LiveNode;
    applyReport(node, { type: 'applied', position: POSITION, persisted: true, quarantined }, 0);
    return node.lastError;
  }

  it('is named, each whole, as far as there is room; of the others it is said how many', () => {
    const reason = 'routes of protocol tcp are not supported at the edge';
    expect(lastError(0, reason)).toBeNull();
    expect(lastError(4, reason)?.match(/at the edge\)/g)).toHaveLength(4);
    const text = lastError(100, reason) ?? '';
    expect(text.length).toBeLessThanOrEqual(500);
    expect(text).toMatch(/^set aside: (routes \S{36} \(.*?at the edge\), )+and 9\d more$/);
  });

  it('is cut where one reason alone is too long', () => {
    expect(lastError(2, 'x'.repeat(2000))).toHaveLength(500);
  });
});
