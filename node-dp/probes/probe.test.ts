import { afterEach, describe, expect, it } from 'vitest';
import type { CheckOutcome } from '#shared/health/checks.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import { must } from '#shared/base/assert.ts';
import { makeCertificate } from '../../test/support/certificates.ts';
import { hasOpenssl } from '../../test/support/openssl.ts';
import { UpstreamTlsContexts } from '../tls/upstream-tls.ts';
import { ANSWER_BYTES_MAX } from './grpc-probe.ts';
import { HEAD_BYTES_MAX } from './http-probe.ts';
import { planOf, type ProbePlan } from './plan.ts';
import { type ProbeTarget, startProbe } from './probe.ts';
import {
  certificateFor,
  deadPort,
  ProbedUpstream,
  startGrpc,
  startHttp,
  startRaw,
} from './probes.suite.ts';

const FAILURE = { type: 'tcp_failure' };
const TIMEOUT = { type: 'timeout' };
const SUCCESS = { type: 'success' };
const status = (code: number): CheckOutcome => ({ type: 'status', status: code });

function planFor(active: JsonObject, more: JsonObject = {}): ProbePlan {
  const probed = new ProbedUpstream({ healthy: { interval: 1 }, ...active }, [], more);
  const [table] = probed.swap().parts.upstreams.byName.winners.values();
  return must(planOf(must(table, 'an Upstream').upstream), 'probes');
}

describe('a probe', () => {
  const open: { close(): Promise<void> }[] = [];
  afterEach(() => Promise.all(open.splice(0).map((server) => server.close())));

  function started<T extends { close(): Promise<void> }>(server: T): T {
    open.push(server);
    return server;
  }

  function probe(
    plan: ProbePlan,
    port: number,
    more: Partial<ProbeTarget> & {
      trusted?: readonly string[];
      shown?: { cert: string; key: string };
    } = {},
  ): Promise<CheckOutcome | null> {
    const { trusted = [], shown = null, ...target } = more;
    return startProbe(
      plan,
      { host: 'one.test', ip: '127.0.0.1', port, ...target },
      {
        tls: new UpstreamTlsContexts(trusted),
        clientCertificate: shown === null ? null : { id: 'shown', ...shown },
      },
    ).outcome;
  }

  describe('over http', () => {
    it.each([200, 302, 404, 500, 999])('brings the status: %i', async (code) => {
      const { port } = started(await startHttp(() => code));
      expect(await probe(planFor({}), port)).toEqual(status(code));
    });

    it.each<[string, JsonObject, JsonObject, string[]]>([
      ['the target', {}, {}, ['GET /', 'Host: one.test', 'Connection: close']],
      [
        'the Upstream',
        {},
        { host_header: 'pool.example' },
        ['GET /', 'Host: pool.example', 'Connection: close'],
      ],
      [
        'its settings',
        { http_path: '/up', headers: { 'X-One': ['a', 'b'], Authorization: ['Basic x'] } },
        {},
        [
          'GET /up',
          'Host: one.test',
          'Connection: close',
          'X-One: a',
          'X-One: b',
          'Authorization: Basic x',
        ],
      ],
    ])('asks as %s says', async (_, active, more, expected) => {
      const server = started(await startHttp(() => 200));
      await probe(planFor(active, more), server.port);
      expect(server.seen).toEqual([expected.join('\n')]);
    });

    it('leaves out a header that would be two', async () => {
      const server = started(await startHttp(() => 200));
      await probe(planFor({ headers: { 'X-One': ['a\r\nX-Two: b'] } }), server.port);
      expect(server.seen[0]).not.toContain('X-Two');
    });

    it.each<[string, string, CheckOutcome | typeof FAILURE]>([
      [
        'an interim answer first',
        'HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 204 No\r\n\r\n',
        status(204),
      ],
      ['a status without words', 'HTTP/1.0 200\r\n\r\n', status(200)],
      ['what is no HTTP', 'SSH-2.0-OpenSSH\r\n', status(0)],
      ['a head without an end', 'x'.repeat(HEAD_BYTES_MAX + 1), status(0)],
    ])('takes %s', async (_, text, outcome) => {
      const { port } = started(await startRaw(() => text));
      expect(await probe(planFor({}), port)).toEqual(outcome);
    });
  });

  it('fails where nothing listens', async () => {
    expect(await probe(planFor({}), await deadPort())).toEqual(FAILURE);
  });

  it.each(['http', 'https', 'grpc', 'grpcs'])(
    'of %s ends when nothing comes in time',
    async (type) => {
      const { port } = started(await startRaw(() => null));
      expect(await probe(planFor({ type, timeout: 0.1 }), port)).toEqual(TIMEOUT);
    },
  );

  it('ends when it is cancelled, with nothing to say', async () => {
    const { port } = started(await startRaw(() => null));
    const running = startProbe(
      planFor({}),
      { host: 'one.test', ip: '127.0.0.1', port },
      { tls: new UpstreamTlsContexts([]), clientCertificate: null },
    );
    running.cancel();
    expect(await running.outcome).toBeNull();
  });

  it('fails, and throws nothing, when the certificate to show is none', async () => {
    const { port } = started(await startHttp(() => 200, certificateFor('one.test')));
    const shown = { cert: 'no certificate', key: 'no key' };
    expect(await probe(planFor({ type: 'https' }), port, { shown })).toEqual(FAILURE);
  });

  it('of tcp needs a connection, and sends nothing', async () => {
    const server = started(await startRaw(() => null));
    expect(await probe(planFor({ type: 'tcp' }), server.port)).toEqual(SUCCESS);
    expect(server.seen).toEqual([]);
    expect(await probe(planFor({ type: 'tcp' }), await deadPort())).toEqual(FAILURE);
  });

  describe('over https', () => {
    const own = certificateFor('one.test');

    it.each<[string, JsonObject, JsonObject, Partial<ProbeTarget>, CheckOutcome | typeof FAILURE]>([
      ['the target’s name', {}, {}, {}, status(200)],
      ['another name', {}, {}, { host: 'two.test' }, FAILURE],
      ['the SNI that is set', { https_sni: 'one.test' }, {}, { host: 'two.test' }, status(200)],
      ['the Host header', {}, { host_header: 'one.test:443' }, { host: '127.0.0.1' }, status(200)],
      ['an address that it is not for', {}, {}, { host: '127.0.0.1' }, FAILURE],
      [
        'nothing, when told so',
        { https_verify_certificate: false },
        {},
        { host: 'two.test' },
        status(200),
      ],
    ])('verifies the certificate against %s', async (_, active, more, target, outcome) => {
      const { port } = started(await startHttp(() => 200, own));
      const plan = planFor({ type: 'https', ...active }, more);
      expect(await probe(plan, port, { ...target, trusted: [own.cert] })).toEqual(outcome);
    });

    it('trusts nobody else', async () => {
      const { port } = started(await startHttp(() => 200, own));
      expect(await probe(planFor({ type: 'https' }), port)).toEqual(FAILURE);
    });

    it.skipIf(!hasOpenssl())('shows the Upstream’s certificate to a server that asks', async () => {
      const client = makeCertificate();
      const { createServer } = await import('node:https');
      const names: unknown[] = [];
      const server = createServer(
        { ...own, requestCert: true, rejectUnauthorized: true, ca: [client.cert] },
        (request, response) => {
          names.push(Reflect.get(request.socket, 'authorized'));
          response.end();
        },
      );
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      started({ close: () => new Promise<void>((resolve) => server.close(() => resolve())) });
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      const plan = planFor({ type: 'https', https_verify_certificate: false });
      expect(await probe(plan, port, { shown: client })).toEqual(status(200));
      expect(names).toEqual([true]);
      expect(await probe(plan, port)).toEqual(FAILURE);
    });
  });

  describe('over grpc', () => {
    it.each<[string, number | null, CheckOutcome | typeof SUCCESS]>([
      ['is serving', 1, SUCCESS],
      ['is not serving', 2, status(0)],
      ['does not know', 0, status(0)],
      ['has no health service', null, status(0)],
    ])('tells a server that %s', async (_, value, outcome) => {
      const { port } = started(await startGrpc(() => value));
      expect(await probe(planFor({ type: 'grpc' }), port)).toEqual(outcome);
    });

    it('sends what headers are set, but for those that HTTP/2 has not', async () => {
      const seen: unknown[] = [];
      const { port } = started(
        await startGrpc(
          () => 1,
          null,
          (metadata) => seen.push(metadata),
        ),
      );
      const headers = {
        'X-One': ['a', 'b'],
        Connection: ['close'],
        'Transfer-Encoding': ['chunked'],
      };
      expect(await probe(planFor({ type: 'grpc', headers }), port)).toEqual(SUCCESS);
      expect(seen).toMatchObject([{ 'x-one': 'a, b' }]);
    });

    it('fails, and throws nothing, when a field is set that Node refuses', async () => {
      const { port } = started(await startGrpc(() => 1));
      const headers = { Authority: ['a'], 'content-length': ['1', '2'] };
      expect(await probe(planFor({ type: 'grpc', headers }), port)).toEqual(FAILURE);
    });

    it('verifies the certificate of grpcs', async () => {
      const own = certificateFor('one.test');
      const { port } = started(await startGrpc(() => 1, own));
      const plan = planFor({ type: 'grpcs' });
      expect(await probe(plan, port, { trusted: [own.cert] })).toEqual(SUCCESS);
      expect(await probe(plan, port, { trusted: [own.cert], host: 'two.test' })).toEqual(FAILURE);
    });

    it('fails at a server that speaks another protocol', async () => {
      const { port } = started(await startHttp(() => 200));
      expect(await probe(planFor({ type: 'grpc' }), port)).toEqual(FAILURE);
      expect(await probe(planFor({ type: 'grpc' }), await deadPort())).toEqual(FAILURE);
    });

    it('does not read more than an answer can have', async () => {
      const { createServer } = await import('node:http2');
      const server = createServer();
      server.on('stream', (stream) => {
        stream.on('error', () => {});
        stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
        stream.write(Buffer.alloc(ANSWER_BYTES_MAX + 1));
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      started({ close: () => new Promise<void>((resolve) => server.close(() => resolve())) });
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      expect(await probe(planFor({ type: 'grpc', timeout: 5 }), port)).toEqual(status(0));
    });
  });
});
