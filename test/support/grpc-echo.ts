/**
 * A real gRPC server and client of one service, over `@grpc/grpc-js`. Messages are bytes as they
 * stand, so that nothing has to be generated.
 */
import {
  type ChannelCredentials,
  type ChannelOptions,
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  type ClientWritableStream,
  credentials,
  type handleBidiStreamingCall,
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  Metadata,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServiceError,
  status,
} from '@grpc/grpc-js';

const same = (bytes: Buffer): Buffer => bytes;

function method(name: string, isUp: boolean, isDown: boolean): MethodDefinition<Buffer, Buffer> {
  return {
    path: `/test.Echo/${name}`,
    requestStream: isUp,
    responseStream: isDown,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
}

const METHODS = {
  Unary: method('Unary', false, false),
  Collect: method('Collect', true, false),
  Repeat: method('Repeat', false, true),
  Chat: method('Chat', true, true),
} as const;

/** What the server has seen. */
export interface GrpcEvents {
  readonly metadata: Metadata[];
  readonly cancelled: string[];
}

export interface GrpcEcho {
  readonly port: number;
  readonly events: GrpcEvents;
  close(): void;
}

type Unary = handleUnaryCall<Buffer, Buffer>;
type Collect = handleClientStreamingCall<Buffer, Buffer>;
type Repeat = handleServerStreamingCall<Buffer, Buffer>;
type Chat = handleBidiStreamingCall<Buffer, Buffer>;

/**
 * `Unary` echoes; by the message `hang` it never answers, and by metadata `fail: N` it answers with
 * status N. `Collect` answers how many bytes came in how many messages. `Repeat` sends the message as
 * often as its first byte says, `hang` once and nothing more. `Chat` echoes each message at once, and
 * ends with a status of its own when it is told `bye`.
 */
export async function startGrpcEcho(tls?: { cert: string; key: string }): Promise<GrpcEcho> {
  const events: GrpcEvents = { metadata: [], cancelled: [] };
  const limits = { 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 };
  const server = new Server(limits);
  server.addService(METHODS, {
    Unary: unary(events),
    Collect: collect(),
    Repeat: repeat(events),
    Chat: chat(events),
  });
  const secured =
    tls === undefined
      ? ServerCredentials.createInsecure()
      : ServerCredentials.createSsl(null, [
          { cert_chain: Buffer.from(tls.cert), private_key: Buffer.from(tls.key) },
        ]);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', secured, (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { port, events, close: () => server.forceShutdown() };
}

function unary(events: GrpcEvents): Unary {
  return (call, done) => {
    events.metadata.push(call.metadata);
    const trailers = new Metadata();
    trailers.set('x-trailer', 'from the end');
    trailers.set('x-bytes-bin', Buffer.from([0, 255, 10]));
    const head = new Metadata();
    head.set('x-head', 'from the start');
    const [fail] = call.metadata.get('fail');
    if (fail !== undefined) {
      done({ code: Number(fail), details: 'as asked, mit Umlaut: ä', metadata: trailers });
    } else if (call.request.toString() === 'hang') {
      call.on('cancelled', () => events.cancelled.push('Unary'));
    } else {
      call.sendMetadata(head);
      done(null, call.request, trailers);
    }
  };
}

function collect(): Collect {
  return (call, done) => {
    let [messages, bytes] = [0, 0];
    call.on('data', (message: Buffer) => {
      messages += 1;
      bytes += message.length;
    });
    call.on('end', () => done(null, Buffer.from(`${bytes} in ${messages}`)));
  };
}

function repeat(events: GrpcEvents): Repeat {
  return (call) => {
    call.on('cancelled', () => events.cancelled.push('Repeat'));
    if (call.request.toString() === 'hang') return void call.write(call.request);
    let left = call.request[0] ?? 0;
    const more = (): void => {
      for (; left > 0; left -= 1) {
        if (!call.write(call.request)) {
          left -= 1;
          return void call.once('drain', more);
        }
      }
      call.end();
    };
    more();
  };
}

function chat(events: GrpcEvents): Chat {
  return (call) => {
    call.on('cancelled', () => events.cancelled.push('Chat'));
    call.on('data', (message: Buffer) => {
      if (message.toString() !== 'bye') return void call.write(message);
      call.emit('error', { code: status.RESOURCE_EXHAUSTED, details: 'said bye' });
    });
    call.on('end', () => call.end());
  };
}

export interface UnaryAnswer {
  readonly code: number;
  readonly details: string;
  readonly message: Buffer | null;
  readonly head: Metadata | null;
  readonly trailers: Metadata | null;
}

export class GrpcClient {
  readonly #client: Client;

  constructor(
    address: string,
    secured: ChannelCredentials = credentials.createInsecure(),
    options: ChannelOptions = {},
  ) {
    this.#client = new Client(address, secured, {
      'grpc.max_receive_message_length': -1,
      'grpc.max_send_message_length': -1,
      'grpc.enable_retries': 0,
      ...options,
    });
  }

  unary(
    message: Uint8Array | string,
    metadata: Record<string, string> = {},
    deadlineMs?: number,
  ): Promise<UnaryAnswer> {
    const sent = new Metadata();
    for (const [name, value] of Object.entries(metadata)) sent.set(name, value);
    const options = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
    return new Promise((resolve) => {
      let answer: UnaryAnswer = {
        code: -1,
        details: '',
        message: null,
        head: null,
        trailers: null,
      };
      let isDone = 0;
      const done = (more: Partial<UnaryAnswer>): void => {
        answer = { ...answer, ...more };
        isDone += 1;
        if (isDone === 2) resolve(answer);
      };
      const call = this.#client.makeUnaryRequest(
        METHODS.Unary.path,
        same,
        same,
        Buffer.from(message),
        sent,
        options,
        (error: ServiceError | null, reply) =>
          done({ message: error === null ? (reply ?? null) : null }),
      );
      call.on('metadata', (head) => (answer = { ...answer, head }));
      call.on('status', ({ code, details, metadata: trailers }) =>
        done({ code, details, trailers }),
      );
    });
  }

  collect(
    done: (error: ServiceError | null, reply?: Buffer) => void,
  ): ClientWritableStream<Buffer> {
    return this.#client.makeClientStreamRequest(METHODS.Collect.path, same, same, done);
  }

  repeat(message: Uint8Array | string): ClientReadableStream<Buffer> {
    return this.#client.makeServerStreamRequest(
      METHODS.Repeat.path,
      same,
      same,
      Buffer.from(message),
    );
  }

  chat(): ClientDuplexStream<Buffer, Buffer> {
    return this.#client.makeBidiStreamRequest(METHODS.Chat.path, same, same);
  }

  close(): void {
    this.#client.close();
  }
}
