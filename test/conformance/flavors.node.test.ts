import { flavorSuite } from './flavors.suite.ts';

flavorSuite('the Node data plane', async (cluster, env) => {
  const node = await cluster.startNode(env);
  return node.url('proxy');
});
