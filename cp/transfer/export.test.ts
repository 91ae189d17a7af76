import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import { REGISTRY } from '#shared/registry.ts';
import { runExport } from './export.ts';

it('says of an export without its secrets that they are hidden', async () => {
  let secret = 'hush';
  const server = createServer((_, response) => {
    response.end(JSON.stringify({ config: `jwt_secrets:\n  - secret: "${secret}"\n` }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // A TCP server that listens has one.
  const { port } = server.address() as AddressInfo;
  const from = new URL(`http://127.0.0.1:${port}`);
  const options = { from, workspace: null, format: 'kong', output: null, headers: {}, ca: null };
  try {
    expect((await runExport({ ...options, format: 'kong' }, REGISTRY)).remarks).toEqual([]);
    secret = '******';
    expect((await runExport({ ...options, format: 'kong' }, REGISTRY)).remarks).toEqual([
      expect.stringMatching(/hides its secrets: what has \*{6} in it cannot be loaded$/),
    ]);
  } finally {
    server.close();
  }
});
