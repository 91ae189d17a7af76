/** One control plane, three groups, both kinds of data planes: each serves what its group is for. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Edge } from '../../infra/dev/edge.ts';
import { answers, Cluster } from '../support/cluster.ts';
import { type Echo, startEcho } from '../support/echo.ts';
import { eventually } from '../support/eventually.ts';
import { send } from '../support/http-client.ts';
import type { Program } from '../support/program.ts';

const KEY = 'ann-key-0123456789';

let cluster: Cluster;
let echo: Echo;
let eu: Program;
let us: Program;
let edge: Edge;

beforeAll(async () => {
  cluster = await Cluster.start();
  echo = await startEcho('one');
  const { admin } = cluster;
  for (const team of ['team-a', 'team-b']) {
    await admin.post('/workspaces', { name: team });
    await admin.post(`/${team}/services`, { name: 'echo', url: `http://${echo.address}` });
    const path = `/${team}/services/echo/routes`;
    await admin.post(path, { name: 'plain', paths: [`/${team}/plain`] });
    await admin.post(path, { name: 'tagged', paths: [`/${team}/tagged`], tags: ['edge'] });
    await admin.post(`/${team}/plugins`, { name: 'key-auth', config: {} });
    await admin.post(`/${team}/consumers`, { username: 'ann' });
    await admin.post(`/${team}/consumers/ann/key-auth`, { key: KEY });
  }
  const labels = (region: string) => ({ labels: { region } });
  await admin.post('/clustering/groups', { name: 'eu', workspaces: ['team-a'], ...labels('eu') });
  await admin.post('/clustering/groups', { name: 'us', workspaces: ['team-b'], ...labels('us') });
  await admin.post('/clustering/groups', {
    name: 'edge',
    workspaces: ['team-a', 'team-b'],
    tags: ['edge'],
  });
  const token = async (group: string | null) => ({
    HEADGATE_JOIN_TOKEN: String((await admin.post('/clustering/join-tokens', { group }))['token']),
  });
  const env = { HEADGATE_CLUSTER_DP_LABELS: 'region:eu' };
  eu = await cluster.startNode({ ...(await token(null)), ...env }, 'eu');
  us = await cluster.startNode(
    { ...(await token('us')), HEADGATE_CLUSTER_DP_LABELS: 'region:us' },
    'us',
  );
  edge = await cluster.startEdge(await token('edge'));
});
afterAll(async () => {
  await cluster?.close();
  await echo?.close();
});

const ROUTES = ['/team-a/plain', '/team-a/tagged', '/team-b/plain', '/team-b/tagged'];

async function statuses(base: string, headers: Readonly<Record<string, string>> = {}) {
  const all = await Promise.all(ROUTES.map((path) => send(base, path, { headers })));
  return all.map(({ status }) => status);
}

describe('groups', () => {
  it('give each data plane the routes of its own, and the key-auth of each', async () => {
    await answers(eu.url('proxy'), '/team-a/plain', 401);
    await answers(us.url('proxy'), '/team-b/plain', 401);
    await answers(edge.url, '/team-b/tagged', 401);
    // Without a key: a plugin without a tag protects a route with one.
    expect(await statuses(eu.url('proxy'))).toEqual([401, 401, 404, 404]);
    expect(await statuses(us.url('proxy'))).toEqual([404, 404, 401, 401]);
    expect(await statuses(edge.url)).toEqual([404, 401, 404, 401]);
    const headers = { apikey: KEY };
    expect(await statuses(eu.url('proxy'), headers)).toEqual([200, 200, 404, 404]);
    expect(await statuses(us.url('proxy'), headers)).toEqual([404, 404, 200, 200]);
    expect(await statuses(edge.url, headers)).toEqual([404, 200, 404, 200]);
  });

  it('follow a changed selector, and a tag that a route loses', async () => {
    const { admin } = cluster;
    await admin.ok('PATCH', '/clustering/groups/us', { tags: ['edge'] });
    await answers(us.url('proxy'), '/team-b/plain', 404);
    expect(await statuses(us.url('proxy'))).toEqual([404, 404, 404, 401]);
    await admin.ok('PATCH', '/team-b/routes/tagged', { tags: [] });
    await answers(us.url('proxy'), '/team-b/tagged', 404);
    await answers(edge.url, '/team-b/tagged', 404);
    await admin.ok('PATCH', '/clustering/groups/us', { tags: null, workspaces: ['team-a'] });
    await answers(us.url('proxy'), '/team-a/plain', 401);
    expect(await statuses(us.url('proxy'))).toEqual([401, 401, 404, 404]);
    expect(await statuses(eu.url('proxy'))).toEqual([401, 401, 404, 404]);
  });

  it('are explained each by itself, and stay while they have data planes', async () => {
    const { admin } = cluster;
    const explained = async (group: string) =>
      (await admin.ok('GET', `/headgate/explain?group=${group}&url=http://x.test/team-a/plain`))[
        'route'
      ];
    expect([(await explained('eu')) === null, (await explained('edge')) === null]).toEqual([
      false,
      true,
    ]);
    const refused = await admin.call('DELETE', '/clustering/groups/eu');
    expect([refused.status, refused.text]).toEqual([
      409,
      expect.stringContaining("The group 'eu' has 1 data plane; remove them first"),
    ]);
    const { data } = await admin.ok('GET', '/clustering/data-planes');
    const groups = (data as { group: string }[]).map(({ group }) => group);
    expect(groups.toSorted()).toEqual(['edge', 'eu', 'us']);
    await eventually('nothing of it is left', async () => {
      for (const { id, group } of data as { id: string; group: string }[]) {
        if (group === 'eu') await admin.call('DELETE', `/clustering/data-planes/${id}`);
      }
      return (await admin.call('DELETE', '/clustering/groups/eu')).status === 204;
    });
  });
});
