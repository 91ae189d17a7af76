import { once } from 'node:events';
import { credentials, status, type StatusObject } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import type { AccessLogEntry } from '#shared/proxy/log-entry.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import { TestConfig } from '../test/support/builders.ts';
import { makeCertificate } from '../test/support/certificates.ts';
import { eventually } from '../test/support/eventually.ts';
import { GrpcClient, startGrpcEcho } from '../test/support/grpc-echo.ts';
import { hasOpenssl } from '../test/support/openssl.ts';
import { Started } from './gateway.suite.ts';
import { terminationOf } from './tls/tls.suite.ts';
import { openH2, sendH2 } from './h2/client.suite.ts';
import { sendRaw } from './raw-client.suite.ts';

const started = new Started();
const closers: (() => void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) close();
  await started.close();
});

const H2C = { host: '127.0.0.1', port: 0, tls: false, http2: true };

interface Options {
  readonly service?: JsonObject;
  readonly route?: JsonObject;
  readonly log?: AccessLogEntry[];
}

/** A gateway with one gRPC route to a real server. */
async function proxied(options: Options = {}) {
  const echo = await startGrpcEcho();
  closers.push(() => echo.close());
  const config = new TestConfig();
  const service = { protocol: 'grpc', host: '127.0.0.1', port: echo.port, retries: 0 };
  const { id } = config.service({ ...service, ...options.service });
  const route = { protocols: ['grpc', 'grpcs'], paths: ['/test.Echo'], strip_path: false };
  config.route({ ...route, service: { id }, ...options.route });
  const { log } = options;
  const tables = config.tables();
  const gateway = await started.gateway(
    tables,
    { listen: H2C },
    log === undefined ? null : (entry) => log.push(entry),
  );
  const client = new GrpcClient(`127.0.0.1:${gateway.port}`);
  closers.push(() => client.close());
  return { echo, gateway, client };
}

interface Call {
  on(event: 'status', heard: (end: StatusObject) => void): unknown;
}

/** How a call ends; `once` of Node would take an error for a failure of its own. */
function statusOf(call: Call): Promise<StatusObject> {
  return new Promise((resolve) => {
    call.on('status', resolve);
  });
}

describe('gRPC through the gateway', () => {
  it('carries a unary call with metadata both ways', async () => {
    const log: AccessLogEntry[] = [];
    const { client, echo } = await proxied({ log });

    const answer = await client.unary('hello', { 'x-asked': 'yes' });

    expect(answer).toMatchObject({ code: status.OK, message: Buffer.from('hello') });
    expect(answer.head?.get('x-head')).toEqual(['from the start']);
    expect(answer.head?.get('via')[0]).toMatch(/^2 /);
    expect(answer.trailers?.get('x-trailer')).toEqual(['from the end']);
    expect(answer.trailers?.get('x-bytes-bin')).toEqual([Buffer.from([0, 255, 10])]);
    expect(echo.events.metadata[0]?.get('x-asked')).toEqual(['yes']);
    expect(echo.events.metadata[0]?.get('x-forwarded-for')).toEqual(['127.0.0.1']);
    expect(echo.events.metadata[0]?.get('via')[0]).toMatch(/^2 /);
    await eventually('the log', () => log.length === 1);
    expect(log[0]).toMatchObject({
      request: { http_version: '2' },
      response: { status: 200, complete: true },
    });
  });

  it('carries errors of the server, with their words and metadata', async () => {
    const { client } = await proxied();

    for (const code of [status.NOT_FOUND, status.UNAVAILABLE, status.DATA_LOSS]) {
      const answer = await client.unary('x', { fail: String(code) });
      expect(answer).toMatchObject({ code, details: 'as asked, mit Umlaut: ä', message: null });
      expect(answer.trailers?.get('x-trailer')).toEqual(['from the end']);
    }
  });

  it('carries streams up', async () => {
    const { client } = await proxied();
    const reply = Promise.withResolvers<string>();
    const call = client.collect((error, message) => {
      if (error === null) reply.resolve(String(message));
      else reply.reject(error);
    });

    for (let i = 0; i < 500; i += 1) {
      if (!call.write(Buffer.alloc(10_000, i))) await once(call, 'drain');
    }
    call.end();

    expect(await reply.promise).toBe('5000000 in 500');
  });

  it('carries streams down', async () => {
    const { client } = await proxied();
    const message = Buffer.alloc(50_000, 200);
    let [messages, bytes] = [0, 0];
    const call = client.repeat(message);
    call.on('data', (one: Buffer) => {
      messages += 1;
      bytes += one.length;
    });
    const end = await statusOf(call);

    expect(end).toMatchObject({ code: status.OK });
    expect([messages, bytes]).toEqual([200, 10_000_000]);
  });

  it('carries a conversation, each word at once', async () => {
    const { client } = await proxied();
    const call = client.chat();
    const heard: string[] = [];
    call.on('data', (word: Buffer) => heard.push(word.toString()));
    call.on('error', () => {});
    const ended = statusOf(call);

    for (const word of ['one', 'two', 'three']) {
      call.write(Buffer.from(word));
      await eventually(`an echo of ${word}`, () => heard.at(-1) === word);
    }
    call.end();

    expect(await ended).toMatchObject({ code: status.OK });
    expect(heard).toEqual(['one', 'two', 'three']);
  });

  it('ends a conversation that the server ends', async () => {
    const { client } = await proxied();
    const call = client.chat();
    call.on('data', () => {});
    call.on('error', () => {});
    const ended = statusOf(call);
    call.write(Buffer.from('bye'));

    expect(await ended).toMatchObject({
      code: status.RESOURCE_EXHAUSTED,
      details: 'said bye',
    });
  });

  it('carries large messages', async () => {
    const { client } = await proxied();
    const large = Buffer.alloc(20 * 1024 * 1024, 7);

    const answer = await client.unary(large);

    expect(answer.code).toBe(status.OK);
    expect(answer.message?.equals(large)).toBe(true);
  });

  it('carries hundreds of calls at a time', async () => {
    const { client, gateway } = await proxied();

    const calls = Array.from({ length: 400 }, (_, i) => client.unary(`call ${i}`));
    const answers = await Promise.all(calls);
    const chats = Array.from({ length: 100 }, () => client.chat());
    const heard = chats.map(async (call, i) => {
      call.on('error', () => {});
      call.write(Buffer.from(`${i}`));
      const [word] = (await once(call, 'data')) as [Buffer];
      return word.toString();
    });

    expect(answers.map(({ message }) => message?.toString())).toEqual(
      answers.map((_, i) => `call ${i}`),
    );
    expect(await Promise.all(heard)).toEqual(chats.map((_, i) => `${i}`));
    for (const call of chats) call.cancel();
    await eventually('nothing in flight', () => gateway.listener.inFlight === 0);
  });

  it('takes a cancelled call to the server', async () => {
    const { client, echo, gateway } = await proxied();
    const call = client.repeat('hang');
    call.on('error', () => {});
    await once(call, 'data');

    call.cancel();

    await eventually('the server to know', () => echo.events.cancelled.includes('Repeat'));
    await eventually('nothing in flight', () => gateway.listener.inFlight === 0);
  });

  it('takes a deadline to the server', async () => {
    const { client, echo } = await proxied();

    const answer = await client.unary('hang', {}, 200);

    expect(answer.code).toBe(status.DEADLINE_EXCEEDED);
    await eventually('the server to know', () => echo.events.cancelled.includes('Unary'));
  });

  it('lets the server know when nobody asks any more because we stop', async () => {
    const { client, echo, gateway } = await proxied();
    const pending = client.unary('hang');
    await eventually('the call', () => echo.events.metadata.length === 1);

    await gateway.listener.drain(50);

    expect((await pending).code).not.toBe(status.OK);
    await eventually('the server to know', () => echo.events.cancelled.length === 1);
  });

  it.skipIf(!hasOpenssl())('goes over TLS on both sides', async () => {
    const pair = makeCertificate();
    const echo = await startGrpcEcho(pair);
    closers.push(() => echo.close());
    const config = new TestConfig();
    const { id } = config.service({ protocol: 'grpcs', host: '127.0.0.1', port: echo.port });
    config.route({ protocols: ['grpcs'], paths: ['/'], service: { id } });
    const gateway = await started.gateway(config.tables(), {
      listen: { ...H2C, tls: true },
      tls: terminationOf(pair),
    });
    const trust = credentials.createSsl(Buffer.from(pair.cert), null, null, {
      checkServerIdentity: () => undefined,
    });
    const client = new GrpcClient(`127.0.0.1:${gateway.port}`, trust, {
      'grpc.ssl_target_name_override': 'test.invalid',
    });
    closers.push(() => client.close());

    expect(await client.unary('hello')).toMatchObject({
      code: status.OK,
      message: Buffer.from('hello'),
    });
  });
});

describe('gRPC that does not get through', () => {
  it('is told so by status and message, with the HTTP status kept', async () => {
    const { client, gateway, echo } = await proxied({ service: { read_timeout: 100 } });
    const session = await openH2(`http://127.0.0.1:${gateway.port}`);
    const head = { ':method': 'POST', 'content-type': 'application/grpc', te: 'trailers' };

    const lost = await sendH2(session, { ...head, ':path': '/nowhere' }, ['']);
    expect(lost).toMatchObject({
      status: 404,
      text: '',
      headers: { 'grpc-status': '5', 'grpc-message': 'no Route matched with those values' },
    });
    expect(await client.unary('hang')).toMatchObject({
      code: status.DEADLINE_EXCEEDED,
      details: 'The upstream server is timing out',
    });
    echo.close();
    await eventually(
      'the server to be gone',
      async () => (await client.unary('x')).code === status.INTERNAL || null,
    );
    expect(await client.unary('x')).toMatchObject({
      details: 'An invalid response was received from the upstream server',
    });
    session.destroy();
  });

  it('over plain where the route takes TLS only', async () => {
    const { client } = await proxied({ route: { protocols: ['grpcs'] } });

    expect(await client.unary('x')).toMatchObject({
      code: status.CANCELLED,
      details: 'gRPC request matched gRPCs route',
    });
  });

  it('over HTTP/1.1, or of another content type', async () => {
    const { gateway } = await proxied();
    const session = await openH2(`http://127.0.0.1:${gateway.port}`);

    const old = await sendRaw(
      gateway.port,
      'POST /test.Echo/Unary HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n',
    );
    const other = await sendH2(
      session,
      { ':method': 'POST', ':path': '/test.Echo/Unary', 'content-type': 'application/json' },
      ['{}'],
    );

    expect(old.status).toBe(426);
    expect(old.text).toMatch(/Upgrade: HTTP\/2/);
    expect(old.text).toMatch(/grpc-message: Please use HTTP2 protocol/);
    expect(other.status).toBe(415);
    expect(JSON.parse(other.text)).toMatchObject({
      message: 'Non-gRPC request matched gRPC route',
    });
    session.destroy();
  });
});
