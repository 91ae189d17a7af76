import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TestCluster } from '../test/support/dp-folder.ts';
import { eventually } from '../test/support/eventually.ts';
import { type Program, startProgram } from '../test/support/program.ts';
import { proxyTo, Started, type RawUpstream } from './gateway.suite.ts';

const started = new Started();
let folder = '';
let upstream: RawUpstream;
let program: Program;

const HEAD = 'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n';

/** Half an answer at once; the other half is the test's. */
beforeEach(async () => {
  upstream = await started.upstream((socket) => void socket.write(`${HEAD}half`));
  folder = await mkdtemp(join(tmpdir(), 'headgate-stop-'));
  const cluster = await TestCluster.create();
  await cluster.furnish(folder, proxyTo(upstream.port).replica().tree.records());
});
afterEach(async () => {
  await program.kill('SIGKILL');
  await started.close();
  await rm(folder, { recursive: true });
});

/** Starts the process, and a request that is half answered. */
async function halfAnswered(drainSeconds: string) {
  program = await startProgram('dp', {
    HEADGATE_DATA_DIR: folder,
    HEADGATE_PROXY_LISTEN: '127.0.0.1:0',
    HEADGATE_STATUS_LISTEN: 'off',
    HEADGATE_PROXY_ACCESS_LOG: 'off',
    HEADGATE_DRAIN_SECONDS: drainSeconds,
    HEADGATE_CONTROL_PLANES: 'ws://127.0.0.1:1',
  });
  const port = Number(new URL(program.url('proxy')).port);
  const socket = connect({ host: '127.0.0.1', port });
  const answer = { text: '', isClosed: false };
  socket.on('data', (chunk: Buffer) => (answer.text += chunk.toString('latin1')));
  socket.on('error', () => {});
  socket.on('close', () => (answer.isClosed = true));
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await eventually('half an answer', () => answer.text.endsWith('half'));
  return { port, answer };
}

function isRefused(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.on('connect', () => resolve(false));
    socket.on('error', () => resolve(true));
    socket.on('close', () => socket.destroy());
  });
}

describe('the process, told to stop,', () => {
  it('refuses new connections, finishes what is in flight, and exits with 0', async () => {
    const { port, answer } = await halfAnswered('20');

    const ended = program.kill('SIGTERM');
    await eventually('new connections to be refused', () => isRefused(port));
    upstream.connections[0]?.write('half');

    expect(await ended).toEqual({ code: 0, signal: null });
    expect(answer.text.endsWith('halfhalf')).toBe(true);
    expect(answer.isClosed).toBe(true);
    expect(program.errors).toBe('');
  });

  it('cuts off after the time it was given what has not finished', async () => {
    const { answer } = await halfAnswered('1');
    const startedMs = performance.now();

    expect(await program.kill('SIGTERM')).toEqual({ code: 0, signal: null });

    expect(performance.now() - startedMs).toBeGreaterThan(900);
    expect(performance.now() - startedMs).toBeLessThan(5000);
    expect(answer.text.endsWith('halfhalf')).toBe(false);
  });

  it('exits at once when told twice', async () => {
    const { port } = await halfAnswered('60');
    const first = program.kill('SIGTERM');
    await eventually('the stop to begin', () => isRefused(port));

    const second = await program.kill('SIGTERM');

    expect(second.code).toBe(1);
    expect(await first).toEqual(second);
  });
});
