import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { s3Server } from '../../../test/support/s3-server.ts';
import { OBJECT_BYTES_MAX, type ObjectStore, openObjectStore } from './object-store.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headgate-objects-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const s3 = s3Server();
const REGION = 'us-east-1';

const places: [string, () => ObjectStore][] = [
  ['a folder', () => openObjectStore({ url: pathToFileURL(folder).href, credentials: null })],
];
if (s3 !== null) {
  const credentials = { accessKeyId: s3.keyId, secretAccessKey: s3.secret, region: REGION };
  places.push([
    'a bucket',
    () => openObjectStore({ url: `${s3.url}/some folder/deep`, credentials }),
  ]);
}

describe.each(places)('%s', (_name, open) => {
  it('keeps whole objects under names, until they are removed', async () => {
    const store = open();
    expect(await store.get('group/head')).toBeNull();
    await store.put('group/head', 'first');
    await store.put('group/head', 'second, with é and \u{1f600}');
    expect(await store.get('group/head')).toBe('second, with é and \u{1f600}');
    await store.remove('group/head');
    await store.remove('group/head');
    expect(await store.get('group/head')).toBeNull();
  });

  it.each(['../x', '..', 'a/../../x', './x', '/x', 'a//x', 'a\0x'])(
    'has no object of the name %j, which would be elsewhere',
    async (name) => {
      const store = open();
      const attempts = [store.get(name), store.put(name, 'x'), store.remove(name)];
      for (const { status } of await Promise.allSettled(attempts)) expect(status).toBe('rejected');
    },
  );

  it('lists the names that begin alike, however many', async () => {
    const store = open();
    const names = Array.from({ length: 1_100 }, (_, i) => `many/node/${i}`);
    for (let start = 0; start < names.length; start += 50) {
      await Promise.all(names.slice(start, start + 50).map((name) => store.put(name, name)));
    }
    await store.put('many/other', 'x');

    expect((await store.list('many/node/')).toSorted()).toEqual(names.toSorted());
    expect(await store.list('nothing/node/')).toEqual([]);
  }, 60_000);
});

// Only where there is one: it is no matter of skipping that `npm test` starts none.
if (s3 !== null) {
  describe('a bucket', () => {
    it('takes nothing that is signed with another secret, and no secret is told', async () => {
      const credentials = { accessKeyId: s3.keyId, secretAccessKey: 'guess', region: REGION };
      const store = openObjectStore({ url: s3.url, credentials });
      await expect(store.put('x', 'y')).rejects.toThrow(/^the object store answered 403 to PUT x$/);
      await expect(store.get('x')).rejects.toThrow(/answered 403/);
    });
  });
}

describe('a web address', () => {
  let server: Server;
  let url: string;
  beforeAll(async () => {
    server = createServer((request, response) => {
      if (request.url === '/base/there') return void response.end('yes');
      if (request.url === '/base/moved')
        return void response.writeHead(302, { location: '/' }).end();
      if (request.url === '/base/endless') {
        const chunk = Buffer.alloc(1024 * 1024);
        const more = (): void => {
          while (!response.destroyed && response.write(chunk));
        };
        response.on('drain', more);
        return more();
      }
      response.writeHead(request.url === '/base/broken' ? 500 : 404).end('no');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/base`;
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  it('is read as it is, and cannot be written', async () => {
    const store = openObjectStore({ url, credentials: null });
    expect(await store.get('there')).toBe('yes');
    expect(await store.get('elsewhere')).toBeNull();
    await expect(store.get('broken')).rejects.toThrow(/answered 500/);
    await expect(store.get('moved')).rejects.toThrow();
    await expect(store.put('there', 'no')).rejects.toThrow(/needs an access key/);
  });

  it('is not read beyond what an object can be', async () => {
    const store = openObjectStore({ url, credentials: null });
    expect(OBJECT_BYTES_MAX).toBeLessThan(1024 ** 3);
    await expect(store.get('endless')).rejects.toThrow(/larger than an object can be/);
  }, 60_000);
});
