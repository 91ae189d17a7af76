import { Cluster } from '../support/cluster.ts';
import { pathConfusionSuite } from './path-confusion.suite.ts';

pathConfusionSuite('the Node data plane', async () => {
  const cluster = await Cluster.start();
  const HEADGATE_JOIN_TOKEN = await cluster.admin.joinToken();
  const node = await cluster.startNode({ HEADGATE_JOIN_TOKEN, HEADGATE_PROXY_ACCESS_LOG: 'off' });
  return { cluster, url: node.url('proxy') };
});
