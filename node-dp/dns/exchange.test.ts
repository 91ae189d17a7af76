import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { decode, type DecodedPacket, encode, type Packet } from 'dns-packet';
import { afterEach, describe, expect, it } from 'vitest';
import { ASKING_MAX, DnsClient } from './client.ts';
import { ask, FOREIGN_MAX } from './exchange.ts';
import type { Question } from './message.ts';

const QUESTION: Question = { name: 'a.test', type: 'A' };
const ANSWER = { tag: 'addresses', addresses: ['10.0.0.1'], ttlSeconds: 30 };
const TIMEOUT_MS = 5000;

describe('an exchange with a name server', () => {
  const sockets: Socket[] = [];
  const servers: Server[] = [];

  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.close();
    for (const server of servers.splice(0)) server.close();
  });

  /** A server that answers a query with these packets. */
  async function serve(
    answers: (query: DecodedPacket, from: RemoteInfo) => readonly (Packet | Buffer)[],
  ): Promise<{ address: string; port: number }> {
    const socket = createSocket('udp4');
    sockets.push(socket);
    socket.on('message', (bytes, from) => {
      for (const answer of answers(decode(bytes), from)) {
        socket.send(Buffer.isBuffer(answer) ? answer : encode(answer), from.port, from.address);
      }
    });
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    return { address: '127.0.0.1', port: socket.address().port };
  }

  /** The same port over TCP, answering with one right answer, byte by byte. */
  async function serveTcp(port: number, reply = right): Promise<void> {
    const server = createServer((socket) => {
      socket.once('data', (bytes) => {
        const message = encode(reply(decode(bytes.subarray(2))));
        const length = Buffer.alloc(2);
        length.writeUInt16BE(message.length);
        for (const byte of Buffer.concat([length, message])) socket.write(Buffer.from([byte]));
      });
    });
    servers.push(server);
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  }

  function right(query: DecodedPacket): Packet {
    return {
      type: 'response',
      id: query.id ?? 0,
      questions: query.questions,
      answers: [{ type: 'A', name: 'A.test', ttl: 30, data: '10.0.0.1' }],
    };
  }

  it.each<[string, (query: DecodedPacket) => Packet | Buffer]>([
    ['of another id', (query) => ({ ...right(query), id: ((query.id ?? 0) + 1) % 0x10000 })],
    [
      'to another name',
      (query) => ({ ...right(query), questions: [{ type: 'A', name: 'b.test' }] }),
    ],
    [
      'to another type',
      (query) => ({ ...right(query), questions: [{ type: 'AAAA', name: 'a.test' }] }),
    ],
    [
      'of another class',
      (query) => ({ ...right(query), questions: [{ type: 'A', name: 'a.test', class: 'CH' }] }),
    ],
    ['to no question', (query) => ({ ...right(query), questions: [] })],
    ['that is a query', (query) => ({ ...right(query), type: 'query' })],
    ['that is garbage', () => Buffer.from('what?')],
    [
      'that points to itself',
      (query) => {
        const bytes = Buffer.alloc(18);
        bytes.writeUInt16BE(query.id ?? 0, 0);
        bytes.writeUInt16BE(0x8000, 2);
        bytes.writeUInt16BE(1, 4);
        bytes.writeUInt16BE(0xc00c, 12);
        return bytes;
      },
    ],
  ])('passes over an answer %s', async (_, wrong) => {
    const server = await serve((query) => [wrong(query), right(query)]);
    expect(await ask(server, QUESTION, TIMEOUT_MS).outcome).toEqual(ANSWER);
  });

  it('passes over answers that come from elsewhere', async () => {
    const forger = createSocket('udp4');
    sockets.push(forger);
    const server = await serve((query, from) => {
      const forged = { ...right(query), answers: [] };
      forger.send(encode(forged), from.port, from.address);
      return [right(query)];
    });
    expect(await ask(server, QUESTION, TIMEOUT_MS).outcome).toEqual(ANSWER);
  });

  it('goes over to TCP when somebody seems to be guessing', async () => {
    const server = await serve((query) =>
      Array.from({ length: FOREIGN_MAX }, (__, i) => ({
        ...right(query),
        id: ((query.id ?? 0) + 1 + i) % 0x10000,
      })),
    );
    await serveTcp(server.port);
    expect(await ask(server, QUESTION, TIMEOUT_MS).outcome).toEqual(ANSWER);
  });

  it('fails at once where there is no way to the server', async () => {
    const nowhere = { address: '255.255.255.255', port: 53 };
    await expect(ask(nowhere, QUESTION, TIMEOUT_MS).outcome).rejects.toThrow('EACCES');
  });

  it('fails when TCP brings no better answer', async () => {
    const server = await serve((query) => [{ ...right(query), flags: 1 << 9 }]);
    await serveTcp(server.port, (query) => ({ ...right(query), questions: [] }));
    await expect(ask(server, QUESTION, TIMEOUT_MS).outcome).rejects.toThrow('no readable answer');
  });

  it('asks each time from another port, with another id', async () => {
    const seen = new Set<string>();
    const server = await serve((query, { port }) => {
      seen.add(`${port} ${query.id}`);
      return [right(query)];
    });
    for (let i = 0; i < 20; i += 1) await ask(server, QUESTION, TIMEOUT_MS).outcome;
    const [ports, ids] = [0, 1].map((at) => new Set([...seen].map((text) => text.split(' ')[at])));
    expect(ports?.size).toBeGreaterThan(15);
    expect(ids?.size).toBeGreaterThan(15);
  });

  it('has a bounded number of questions under way', async () => {
    const waiting: (() => void)[] = [];
    const socket = createSocket('udp4');
    sockets.push(socket);
    socket.on('message', (bytes, { port, address }) => {
      waiting.push(() => socket.send(encode(right(decode(bytes))), port, address));
    });
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const { port }: AddressInfo = socket.address();
    const to = [{ address: '127.0.0.1', port }];
    const client = new DnsClient({
      servers: to,
      timeoutMs: TIMEOUT_MS,
      attempts: 1,
      rotates: false,
    });
    let done = 0;
    let most = 0;
    const all = Array.from({ length: ASKING_MAX + 50 }, async () => {
      await client.ask(QUESTION);
      done += 1;
    });
    const pump = setInterval(() => {
      most = Math.max(most, waiting.length);
      // Only once no more come in.
      if (waiting.length >= Math.min(ASKING_MAX, all.length - done)) {
        for (const reply of waiting.splice(0)) reply();
      }
    }, 5);
    await Promise.all(all);
    clearInterval(pump);
    expect(most).toBe(ASKING_MAX);
  });
});
