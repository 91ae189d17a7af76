import { REGISTRY } from '#shared/registry.ts';
import { openTestStore } from '../../test/support/pglite.ts';
import { nodeHealthSuite } from './node-health.suite.ts';

nodeHealthSuite(() => openTestStore(REGISTRY.entities));
