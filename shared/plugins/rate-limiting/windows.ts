/** Calendar windows in UTC. Pure arithmetic on epoch milliseconds. */
import type { PERIODS } from '../limits.ts';

export type Period = (typeof PERIODS)[number];

/** Nominal lengths, as Kong reports them. Source: kong/plugins/rate-limiting/expiration.lua */
export const WINDOW_SECONDS: Readonly<Record<Period, number>> = {
  second: 1,
  minute: 60,
  hour: 3600,
  day: 86_400,
  month: 2_592_000,
  year: 31_536_000,
};

/** Epoch ms at which the window that holds `nowMs` began. */
export function windowStart(period: Period, nowMs: number): number {
  if (period === 'month' || period === 'year') return calendarStart(period, nowMs, 0);
  const lengthMs = WINDOW_SECONDS[period] * 1000;
  return Math.floor(nowMs / lengthMs) * lengthMs;
}

/** Epoch ms at which the next one begins. */
export function windowEnd(period: Period, nowMs: number): number {
  if (period === 'month' || period === 'year') return calendarStart(period, nowMs, 1);
  return windowStart(period, nowMs) + WINDOW_SECONDS[period] * 1000;
}

function calendarStart(period: 'month' | 'year', nowMs: number, ahead: number): number {
  const date = new Date(nowMs);
  const year = date.getUTCFullYear();
  return period === 'year' ? Date.UTC(year + ahead, 0) : Date.UTC(year, date.getUTCMonth() + ahead);
}
