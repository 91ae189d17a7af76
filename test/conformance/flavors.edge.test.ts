import { flavorSuite } from './flavors.suite.ts';

flavorSuite('the edge data plane', async (cluster, env) => (await cluster.startEdge(env)).url);
