import { describe, expect, it } from 'vitest';
import { createLogger } from '#shared/platform/node/logger.ts';
import { FakeClock } from '../test/support/fake-clock.ts';
import { isLevelName, LogLevelControl } from './log-level.ts';
import type { Db } from './store/db.ts';

function open() {
  const lines: string[] = [];
  const logger = createLogger({ name: 'cp', level: 'info', write: (line) => lines.push(line) });
  const clock = new FakeClock();
  const listeners: ((payload: string) => void)[] = [];
  const sent: string[] = [];
  const db = {
    listen: async (_channel: string, fn: (payload: string) => void) => {
      listeners.push(fn);
      return async () => {};
    },
    notify: async (_channel: string, payload: string) => {
      sent.push(payload);
    },
  };
  // The control uses nothing else of the database.
  const control = new LogLevelControl({ logger, clock, db: db as unknown as Db });
  return { lines, logger, clock, control, listeners, sent };
}

describe('the log level while running', () => {
  it('lets lines through at once, and is back to what it was after its time', async () => {
    const { lines, logger, clock, control } = open();
    control.set('debug', 60);
    logger.log('debug', 'seen');
    expect(lines.some((line) => line.includes('"seen"'))).toBe(true);
    expect(control.current).toBe('debug');

    await clock.advance(60_000);
    logger.log('debug', 'not seen');
    expect(control.current).toBe('info');
    expect(lines.some((line) => line.includes('"not seen"'))).toBe(false);
  });

  it('stays when its time is 0, and a later change forgets the earlier one’s end', async () => {
    const { clock, control } = open();
    control.set('debug', 10);
    control.set('error', 0);
    await clock.advance(3_600_000);
    expect(control.current).toBe('error');
  });

  it('knows Kong’s eight names and no other', () => {
    const names = ['debug', 'info', 'notice', 'warn', 'error', 'crit', 'alert', 'emerg'];
    expect(names.every(isLevelName)).toBe(true);
    expect(['trace', 'toString', '', '__proto__'].some(isLevelName)).toBe(false);
  });

  it('is told to all control planes, and heard from them', async () => {
    const { control, listeners, sent } = open();
    await control.start();
    await control.setEverywhere('warn', 5);
    expect([control.current, sent]).toEqual(['warn', ['warn 5']]);
    for (const payload of ['debug 60', '', 'nonsense 1']) listeners[0]?.(payload);
    expect(control.current).toBe('debug');
  });
});
