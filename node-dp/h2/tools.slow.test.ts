import { afterEach, describe, expect, it } from 'vitest';
import { makeCertificate } from '../../test/support/certificates.ts';
import { type Echo, startEcho } from '../../test/support/echo.ts';
import { hasNghttp2, runTool } from '../../test/support/nghttp2.ts';
import { proxyTo, Started } from '../gateway.suite.ts';
import { terminationOf } from '../tls/tls.suite.ts';

const started = new Started();
let echo: Echo | null = null;
afterEach(async () => {
  await started.close();
  await echo?.close();
});

describe.skipIf(!hasNghttp2())('clients of nghttp2', () => {
  async function gateway(isTls: boolean): Promise<string> {
    echo = await startEcho('one');
    const tables = proxyTo(Number(echo.address.split(':')[1])).tables();
    const { port } = await started.gateway(tables, {
      listen: { host: '127.0.0.1', port: 0, tls: isTls, http2: true },
      tls: isTls ? terminationOf(makeCertificate()) : null,
    });
    return `${isTls ? 'https' : 'http'}://127.0.0.1:${port}`;
  }

  it.each([
    ['TLS', true],
    ['clear text', false],
  ])(
    'get 20,000 answers over %s, all as they should be',
    async (_name, isTls) => {
      const url = await gateway(isTls);

      const said = await runTool('h2load', [
        '-n',
        '20000',
        '-c',
        '20',
        '-m',
        '50',
        `${url}/status/200`,
      ]);

      expect(said).toContain(
        'requests: 20000 total, 20000 started, 20000 done, 20000 succeeded, 0 failed, 0 errored, 0 timeout',
      );
      expect(said).toContain('status codes: 20000 2xx, 0 3xx, 0 4xx, 0 5xx');
      expect(said).toContain(`Application protocol: ${isTls ? 'h2' : 'h2c'}`);
    },
    120_000,
  );

  it('get HTTP/1.1 from the same port', async () => {
    const url = await gateway(true);

    const said = await runTool('h2load', ['--h1', '-n', '2000', '-c', '10', `${url}/status/200`]);

    expect(said).toContain('2000 succeeded, 0 failed, 0 errored, 0 timeout');
    expect(said).toContain('Application protocol: http/1.1');
  }, 60_000);

  it('send and get large bodies, several at a time', async () => {
    const url = await gateway(true);
    const bytes = 3_000_000;

    const said = await runTool('nghttp', ['-nv', '-m', '10', '--no-dep', `${url}/bytes/${bytes}`]);

    const received = [...said.matchAll(/recv DATA frame <length=(\d+)/g)];
    expect(received.reduce((sum, [, length]) => sum + Number(length), 0)).toBe(10 * bytes);
    expect(said.match(/.*(?:RST_STREAM|error_code=(?!NO_ERROR)).*/g)).toBeNull();
  }, 60_000);
});
