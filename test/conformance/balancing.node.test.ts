import { answers, Cluster } from '../support/cluster.ts';
import { BALANCING_ENV, balancingSuite, createBalancingFixture } from './balancing.suite.ts';

balancingSuite({ name: 'the Node data plane' }, async (upstreams) => {
  const cluster = await Cluster.start();
  const HEADGATE_JOIN_TOKEN = await cluster.admin.joinToken();
  const node = await cluster.startNode({ HEADGATE_JOIN_TOKEN, ...BALANCING_ENV });
  await createBalancingFixture(cluster.admin, upstreams);
  const url = node.url('proxy');
  await answers(url, '/canary', 200);
  return { url, close: () => cluster.close() };
});
