import { Cluster } from '../support/cluster.ts';
import { pathConfusionSuite } from './path-confusion.suite.ts';

pathConfusionSuite('the edge data plane', async () => {
  const cluster = await Cluster.start();
  const HEADGATE_JOIN_TOKEN = await cluster.admin.joinToken();
  const settings = { HEADGATE_JOIN_TOKEN, HEADGATE_PROXY_ACCESS_LOG: 'off' };
  const edge = await cluster.startEdge(settings);
  return { cluster, url: edge.url };
});
