/** A real file system without room, and one that became read-only: configurations are served all the same. */
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { SAVE_RETRY_MS } from '#shared/sync/client.ts';
import { answers, Cluster } from '../test/support/cluster.ts';
import { type Echo, startEcho } from '../test/support/echo.ts';
import { eventually } from '../test/support/eventually.ts';
import { send } from '../test/support/http-client.ts';
import type { Program } from '../test/support/program.ts';

const DISK_BYTES = 1024 * 1024;

let cluster: Cluster;
let echo: Echo;
let disk = '';

function isMounted(...args: string[]): boolean {
  return spawnSync('mount', [...args, disk]).status === 0;
}

beforeAll(async () => {
  disk = await mkdtemp(join(tmpdir(), 'headgate-disk-'));
  cluster = await Cluster.start();
  echo = await startEcho('one');
  await cluster.admin.post('/services', { name: 'echo', url: `http://${echo.address}` });
});
afterAll(async () => {
  await cluster?.close();
  await echo?.close();
  spawnSync('umount', [disk]);
  await rm(disk, { recursive: true, force: true });
});

async function route(name: string): Promise<void> {
  await cluster.admin.post('/services/echo/routes', { name, paths: [`/${name}`] });
}

async function isPersisted(node: Program): Promise<boolean> {
  const { text } = await send(node.url('status'), '/metrics');
  return text.includes('headgate_config_persisted 1');
}

it('serves what it cannot save, says so, and saves it when it can', async ({ skip }) => {
  if (!isMounted('-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs')) skip('needs to mount');
  const folder = join(disk, 'node');
  await mkdir(folder);
  const node = await cluster.startNode({
    HEADGATE_DATA_DIR: folder,
    HEADGATE_JOIN_TOKEN: await cluster.admin.joinToken(),
  });
  await route('a');
  await answers(node.url('proxy'), '/a', 200);
  await eventually('it to be saved', () => isPersisted(node));

  const filler = join(disk, 'filler');
  await writeFile(filler, Buffer.alloc(2 * DISK_BYTES)).catch(() => {});
  await route('b');
  await answers(node.url('proxy'), '/b', 200);
  await eventually('it to be known', async () => !(await isPersisted(node)));
  await eventually('the control plane to know', async () => {
    const list = JSON.stringify(await cluster.admin.ok('GET', '/clustering/data-planes'));
    return list.includes('"persisted":false');
  });
  await unlink(filler);
  await eventually('it to be saved', () => isPersisted(node), SAVE_RETRY_MS + 10_000);

  expect(isMounted('-o', 'remount,ro')).toBe(true);
  await route('c');
  await answers(node.url('proxy'), '/c', 200);
  await eventually('it to be known', async () => !(await isPersisted(node)));
  // What was saved before stands, and is served by the next process.
  await cluster.killControlPlane();
  await node.kill('SIGKILL');
  expect(isMounted('-o', 'remount,rw')).toBe(true);
  const again = await cluster.startNode({ HEADGATE_DATA_DIR: folder });
  expect((await send(again.url('proxy'), '/b')).status).toBe(200);
  await again.kill('SIGKILL');
}, 120_000);
