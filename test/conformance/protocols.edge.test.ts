import { answers, Cluster } from '../support/cluster.ts';
import { createProtocolFixture, protocolSuite, startProtocolUpstream } from './protocols.suite.ts';

protocolSuite(
  { name: 'the edge data plane', passesTrailers: false, buffersRequests: false, takesGrpc: false },
  async () => {
    const cluster = await Cluster.start();
    const upstream = await startProtocolUpstream();
    const edge = await cluster.startEdge({ HEADGATE_JOIN_TOKEN: await cluster.admin.joinToken() });
    const { url } = edge;
    await createProtocolFixture(cluster.admin, upstream.address);
    await answers(url, '/canary', 200);
    return {
      url,
      upstream,
      close: async () => {
        await cluster.close();
        upstream.close();
      },
    };
  },
);
