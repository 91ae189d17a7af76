import { answers, Cluster } from '../support/cluster.ts';
import { BALANCING_ENV, balancingSuite, createBalancingFixture } from './balancing.suite.ts';

balancingSuite({ name: 'the edge data plane' }, async (upstreams) => {
  const cluster = await Cluster.start();
  const HEADGATE_JOIN_TOKEN = await cluster.admin.joinToken();
  const edge = await cluster.startEdge({ HEADGATE_JOIN_TOKEN, ...BALANCING_ENV });
  await createBalancingFixture(cluster.admin, upstreams);
  await answers(edge.url, '/canary', 200);
  return { url: edge.url, close: () => cluster.close() };
});
