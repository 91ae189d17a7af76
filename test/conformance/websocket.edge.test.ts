import { answers, Cluster } from '../support/cluster.ts';
import { createWebSocketFixture, webSocketSuite } from './websocket.suite.ts';

webSocketSuite({ name: 'the edge data plane', closesBehindRefusal: false }, async (upstreams) => {
  const cluster = await Cluster.start();
  const edge = await cluster.startEdge({ HEADGATE_JOIN_TOKEN: await cluster.admin.joinToken() });
  await createWebSocketFixture(cluster.admin, upstreams);
  await answers(edge.url, '/canary', 502);
  return { url: edge.url, close: () => cluster.close() };
});
