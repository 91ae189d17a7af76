/** The oracle itself: a good history passes, and every way of spoiling it is seen. */
import { describe, expect, it } from 'vitest';
import { check, summary, type HistoryEvent, type Invariant } from './history.ts';

type Of<T extends HistoryEvent['type']> = Extract<HistoryEvent, { type: T }>;

const write = (
  key: string,
  version: number | null,
  effects: Of<'write'>['effects'],
  outcome: Of<'write'>['outcome'] = 'acked',
): Of<'write'> => ({ type: 'write', key, version, effects, outcome, fromMs: 0 });

const view = (
  node: string,
  version: number,
  atMs: number,
  registers: Readonly<Record<string, string>>,
): Of<'view'> => ({
  type: 'view',
  node,
  epoch: 1,
  revision: version,
  hash: `hash ${version}`,
  version,
  atMs,
  registers: Object.fromEntries(Object.entries(registers).map(([name, value]) => [name, [value]])),
});

const GOOD: readonly HistoryEvent[] = [
  write('w1', 1, { a: '1' }),
  write('w2', 2, { b: '2', c: '2' }),
  write('w3', 3, { a: '3' }),
  write('w4', 4, { b: null }),
  write('no', null, { d: 'no' }, 'refused'),
  write('maybe', null, { e: '5', f: '5' }, 'unknown'),
  view('one', 1, 10, { a: '1' }),
  view('two', 2, 10, { a: '1', b: '2', c: '2' }),
  { type: 'down', node: 'one', atMs: 20 },
  { type: 'failure', node: 'one', fromMs: 19, toMs: 21, detail: 'reset' },
  { type: 'up', node: 'one', atMs: 30 },
  { type: 'faults_over', nodes: ['one', 'two'], version: 3, atMs: 30 },
  view('one', 3, 60, { a: '3', b: '2', c: '2', e: '5', f: '5' }),
  view('one', 4, 90, { a: '3', c: '2', e: '5', f: '5' }),
  view('two', 4, 70, { a: '3', c: '2', e: '5', f: '5' }),
  { type: 'quiet', nodes: ['one', 'two'], version: 4 },
];
const TERMS = { convergenceMs: 50 };

const invariants = (history: readonly HistoryEvent[]): Invariant[] => [
  ...new Set(check(history, TERMS).map(({ invariant }) => invariant)),
];

/** The good history with one event put in the place of another. */
const spoilt = (index: number, change: (event: HistoryEvent) => object): HistoryEvent[] =>
  // The change keeps the event's shape.
  GOOD.map((event, i) => (i === index ? ({ ...event, ...change(event) } as HistoryEvent) : event));

describe('the history checker', () => {
  it('finds nothing wrong with a good history', () => {
    expect(check(GOOD, TERMS)).toEqual([]);
    expect(summary(GOOD)).toMatchObject({ acked: 4, refused: 1, unknown: 1, view: 5 });
  });

  const registers = (held: Readonly<Record<string, readonly string[]>>) => () => ({
    registers: held,
  });
  const spoilings: readonly (readonly [string, HistoryEvent[], Invariant])[] = [
    ['a lost write', spoilt(7, registers({ b: ['2'], c: ['2'] })), 'I1'],
    ['a lost update', spoilt(12, registers({ a: ['1'], b: ['2'], c: ['2'] })), 'I1'],
    ['a lost deletion', spoilt(13, registers({ a: ['3'], b: ['2'], c: ['2'] })), 'I1'],
    ['a write from the future', spoilt(6, registers({ a: ['1'], b: ['2'], c: ['2'] })), 'I2'],
    ['what nobody wrote', spoilt(6, registers({ a: ['1'], x: ['9'] })), 'I2'],
    ['what was refused', spoilt(6, registers({ a: ['1'], d: ['no'] })), 'I2'],
    ['a write that was done twice', spoilt(6, registers({ a: ['1', '1'] })), 'I2'],
    ['half a write', spoilt(7, registers({ a: ['1'], b: ['2'] })), 'I3'],
    ['half a write of unknown outcome', spoilt(6, registers({ a: ['1'], e: ['5'] })), 'I3'],
    ['one version for two writes', spoilt(1, () => ({ version: 1 })), 'I3'],
    [
      'a node that goes back',
      [...GOOD.slice(0, 15), { ...view('one', 3, 95, {}), registers: registersOf(12) }],
      'I4',
    ],
    ['one revision with two contents', spoilt(14, () => ({ hash: 'another' })), 'I5'],
    ['a node that comes too late', spoilt(12, () => ({ atMs: 200, version: 3 })), 'I5'],
    ['a node that does not come to the end', GOOD.toSpliced(14, 1), 'I5'],
    ['a failure while up', spoilt(9, () => ({ fromMs: 5, toMs: 6 })), 'I6'],
    ['a failure while another was down', spoilt(9, () => ({ node: 'two' })), 'I6'],
  ];
  it.each(spoilings)('sees %s', (_name, history, invariant) => {
    expect(invariants(history)).toContain(invariant);
  });
});

function registersOf(index: number): Of<'view'>['registers'] {
  const event = GOOD[index];
  return event?.type === 'view' ? event.registers : {};
}
