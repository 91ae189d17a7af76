import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WebSocketServer, type WebSocket } from 'ws';
import type { ConnectionEvents } from '#shared/platform/platform.ts';
import { FRAME_LENGTH_MAX } from '#shared/wire/protocol.ts';
import { eventually } from '../test/support/eventually.ts';
import { NodeConnector } from './connector.ts';

let server: WebSocketServer;
let address = '';
const accepted: WebSocket[] = [];

beforeEach(async () => {
  accepted.length = 0;
  server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  server.on('connection', (socket) => accepted.push(socket));
  await new Promise((resolve) => server.once('listening', resolve));
  const bound = server.address();
  address = `ws://127.0.0.1:${typeof bound === 'object' ? bound?.port : 0}`;
});
afterEach(async () => {
  for (const socket of accepted) socket.terminate();
  await new Promise((resolve) => server.close(resolve));
});

class Heard implements ConnectionEvents {
  readonly all: string[] = [];
  open(): void {
    this.all.push('open');
  }
  message(text: string): void {
    this.all.push(`message ${text.length > 20 ? text.length : text}`);
  }
  close(code: number): void {
    this.all.push(`close ${code}`);
  }
  get isClosed(): boolean {
    return this.all.at(-1)?.startsWith('close') ?? false;
  }
}

async function opened() {
  const heard = new Heard();
  const connection = new NodeConnector(null).open(address, heard);
  await eventually('a connection', () => heard.all.length > 0 && accepted.length > 0);
  return { heard, connection, peer: accepted[0] as WebSocket };
}

describe('a connection to a control plane', () => {
  it('carries texts both ways', async () => {
    const { heard, connection, peer } = await opened();
    const received = new Promise((resolve) =>
      peer.once('message', (data) => resolve(String(data))),
    );
    connection.send('up é');
    peer.send('down é');

    expect(await received).toBe('up é');
    await eventually('the message', () => heard.all.length === 2);
    expect(heard.all).toEqual(['open', 'message down é']);
  });

  it('takes the longest frame there may be', async () => {
    const { heard, peer } = await opened();
    peer.send('é'.repeat(FRAME_LENGTH_MAX));

    await eventually('the message', () => heard.all.length === 2);

    expect(heard.all[1]).toBe(`message ${FRAME_LENGTH_MAX}`);
  });

  it('breaks off when a message is longer than any frame', async () => {
    const { heard, peer } = await opened();
    peer.send(Buffer.alloc(FRAME_LENGTH_MAX * 3 + 1, 0x61).toString('latin1'));

    await eventually('the end', () => heard.isClosed);

    expect(heard.all).toEqual(['open', 'close 1006']);
  });

  it('breaks off when it is sent bytes that are no text', async () => {
    const { heard, peer } = await opened();
    peer.send(Buffer.from([1, 2, 3]));

    await eventually('the end', () => heard.isClosed);

    expect(heard.all).toEqual(['open', 'close 1003']);
  });

  it('tells the code that the peer closed with', async () => {
    const { heard, peer } = await opened();
    peer.close(4403, 'revoked');

    await eventually('the end', () => heard.isClosed);

    expect(heard.all).toEqual(['open', 'close 4403']);
  });

  it('ends once, with 1006, when the peer just vanishes', async () => {
    const { heard, peer } = await opened();
    peer.terminate();

    await eventually('the end', () => heard.isClosed);

    expect(heard.all).toEqual(['open', 'close 1006']);
  });

  it('ends once, with 1006, when nobody listens', async () => {
    const heard = new Heard();
    new NodeConnector(null).open('ws://127.0.0.1:1', heard);

    await eventually('the end', () => heard.isClosed);

    expect(heard.all).toEqual(['close 1006']);
  });

  it('ends when it is closed before it opened', async () => {
    const heard = new Heard();
    new NodeConnector(null).open(address, heard).close(1000, 'changed my mind');

    await eventually('the end', () => heard.isClosed);

    expect(heard.all).toEqual(['close 1006']);
  });

  it('ends although the peer never answers the close', async () => {
    const { heard, connection, peer } = await opened();
    peer.pause();
    connection.close(1000, 'bye');

    await eventually('the end', () => heard.isClosed);

    expect(heard.all).toEqual(['open', 'close 1006']);
  });
});
