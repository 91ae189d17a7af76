import { answers, Cluster } from '../support/cluster.ts';
import { closedAddress, startEcho } from '../support/echo.ts';
import { createFixture } from './proxy.fixture.ts';
import { proxySuite } from './proxy.suite.ts';

proxySuite(
  { name: 'the Node data plane', preservesHost: true, knowsResolveFailure: true },
  async () => {
    const cluster = await Cluster.start();
    const [one, two] = [await startEcho('one'), await startEcho('two')];
    const node = await cluster.startNode({ HEADGATE_JOIN_TOKEN: await cluster.admin.joinToken() });
    const closed = await closedAddress();
    await createFixture(cluster.admin, { one: one.address, two: two.address, closed });
    const url = node.url('proxy');
    await answers(url, '/canary', 200);
    return {
      url,
      close: async () => {
        await cluster.close();
        await Promise.all([one.close(), two.close()]);
      },
    };
  },
);
