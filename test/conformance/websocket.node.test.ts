import { answers, Cluster } from '../support/cluster.ts';
import { createWebSocketFixture, webSocketSuite } from './websocket.suite.ts';

webSocketSuite({ name: 'the Node data plane', closesBehindRefusal: true }, async (upstreams) => {
  const cluster = await Cluster.start();
  const node = await cluster.startNode({ HEADGATE_JOIN_TOKEN: await cluster.admin.joinToken() });
  await createWebSocketFixture(cluster.admin, upstreams);
  const url = node.url('proxy');
  await answers(url, '/canary', 502);
  return { url, close: () => cluster.close() };
});
