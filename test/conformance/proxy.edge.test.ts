import { answers, Cluster } from '../support/cluster.ts';
import { closedAddress, startEcho } from '../support/echo.ts';
import { createFixture } from './proxy.fixture.ts';
import { proxySuite } from './proxy.suite.ts';

proxySuite(
  { name: 'the edge data plane', preservesHost: false, knowsResolveFailure: false },
  async () => {
    const cluster = await Cluster.start();
    const [one, two] = [await startEcho('one'), await startEcho('two')];
    const edge = await cluster.startEdge({ HEADGATE_JOIN_TOKEN: await cluster.admin.joinToken() });
    const closed = await closedAddress();
    await createFixture(cluster.admin, { one: one.address, two: two.address, closed });
    await answers(edge.url, '/canary', 200);
    return {
      url: edge.url,
      close: async () => {
        await cluster.close();
        await Promise.all([one.close(), two.close()]);
      },
    };
  },
);
