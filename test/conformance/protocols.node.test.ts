import { answers, Cluster } from '../support/cluster.ts';
import { createProtocolFixture, protocolSuite, startProtocolUpstream } from './protocols.suite.ts';

protocolSuite(
  { name: 'the Node data plane', passesTrailers: true, buffersRequests: true, takesGrpc: true },
  async () => {
    const cluster = await Cluster.start();
    const upstream = await startProtocolUpstream();
    const node = await cluster.startNode({ HEADGATE_JOIN_TOKEN: await cluster.admin.joinToken() });
    const url = node.url('proxy');
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
