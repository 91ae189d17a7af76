/** All names of all programs: one environment may serve several of them. */
import { CONTROL_PLANE_SETTINGS } from './control-plane.ts';
import { DATA_PLANE_SETTINGS } from './data-plane.ts';
import { DEV_SETTINGS } from './dev.ts';
import { EDGE_SETTINGS } from './edge.ts';

export const ALL_SETTING_NAMES: readonly string[] = [
  ...new Set([
    ...Object.keys(CONTROL_PLANE_SETTINGS),
    ...Object.keys(DATA_PLANE_SETTINGS),
    ...Object.keys(DEV_SETTINGS),
    ...Object.keys(EDGE_SETTINGS),
  ]),
];
