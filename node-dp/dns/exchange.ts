/** One question to one server: over UDP, and over TCP what does not fit. */
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';
import type { ServerAddress } from '#shared/settings/dns.ts';
import { encodeQuestion, type Outcome, type Question, readAnswer } from './message.ts';

/** No answer: the server is not there, or did not answer in time. */
export class NoAnswerError extends Error {
  override readonly name = 'NoAnswerError';
}

/** Datagrams that are no answer to the question; after so many somebody is guessing. */
export const FOREIGN_MAX = 8;

/** Lets a caller end what is under way. */
export interface Exchange {
  /** @throws NoAnswerError (as a rejection) */
  readonly outcome: Promise<Outcome>;
  cancel(): void;
}

/**
 * Asks. Each question has a socket of its own, so that the system chooses the port, tells of a server
 * that refuses, and drops what others than the server send (RFC 5452 sections 9.1 and 9.2).
 */
export function ask(server: ServerAddress, question: Question, timeoutMs: number): Exchange {
  const deadline = performance.now() + timeoutMs;
  let current = askByUdp(server, question, timeoutMs);
  const outcome = current.outcome.then((answer) => {
    if (answer !== TRY_TCP) return answer;
    current = askByTcp(server, question, Math.max(1, deadline - performance.now()));
    return current.outcome.then((last) => {
      if (last !== TRY_TCP) return last;
      throw new NoAnswerError('no readable answer over TCP');
    });
  });
  return { outcome, cancel: () => current.cancel() };
}

/** UDP brings no answer that can be used or believed. */
const TRY_TCP = Symbol('try TCP');

interface Try {
  readonly outcome: Promise<Outcome | typeof TRY_TCP>;
  cancel(): void;
}

type Settle = (result: Outcome | typeof TRY_TCP | Error) => void;

/**
 * Runs one try to its end, whichever comes first: a result, the deadline, or being cancelled.
 *
 * @param begin  starts it; the answer lets go of its socket
 */
function bounded(timeoutMs: number, begin: (settle: Settle) => () => void): Try {
  let cancel = (): void => {};
  const outcome = new Promise<Outcome | typeof TRY_TCP>((resolve, reject) => {
    let isDone = false;
    const settle: Settle = (result) => {
      if (isDone) return;
      isDone = true;
      clearTimeout(timer);
      close();
      if (result instanceof Error) reject(result);
      else resolve(result);
    };
    const timer = setTimeout(() => settle(new NoAnswerError('no answer in time')), timeoutMs);
    const close = begin(settle);
    cancel = () => settle(new NoAnswerError('given up'));
  });
  return { outcome, cancel: () => cancel() };
}

function askByUdp(server: ServerAddress, question: Question, timeoutMs: number): Try {
  return bounded(timeoutMs, (settle) => {
    const id = randomInt(0x10000);
    const socket = createSocket(isIPv6(server.address) ? 'udp6' : 'udp4');
    let foreign = 0;
    let isOpen = true;
    const fail = (error: Error): void => settle(failure(error));
    socket.on('error', fail);
    socket.on('message', (bytes) => {
      const reading = readAnswer(bytes, id, question);
      if (reading.tag === 'answer') return settle(reading.outcome);
      if (reading.tag === 'truncated') return settle(TRY_TCP);
      foreign += 1;
      if (foreign >= FOREIGN_MAX) settle(TRY_TCP);
    });
    // Node hands a failure to the callback, which its types do not say.
    socket.connect(server.port, server.address, (error?: Error) => {
      if (!isOpen) return undefined;
      if (error !== undefined) return fail(error);
      socket.send(encodeQuestion(id, question), (failed) => {
        if (failed !== null) fail(failed);
      });
      return undefined;
    });
    return () => {
      isOpen = false;
      socket.close();
    };
  });
}

function askByTcp(server: ServerAddress, question: Question, timeoutMs: number): Try {
  return bounded(timeoutMs, (settle) => {
    const id = randomInt(0x10000);
    const socket = connect({ host: server.address, port: server.port });
    let received = Buffer.alloc(0);
    socket.on('error', (error) => settle(failure(error)));
    socket.on('close', () => settle(new NoAnswerError('closed before the answer')));
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 2) return;
      const end = 2 + received.readUInt16BE(0);
      if (received.length < end) return;
      const reading = readAnswer(received.subarray(2, end), id, question);
      settle(reading.tag === 'answer' ? reading.outcome : TRY_TCP);
    });
    const message = encodeQuestion(id, question);
    const length = Buffer.alloc(2);
    length.writeUInt16BE(message.length);
    socket.write(Buffer.concat([length, message]));
    return () => socket.destroy();
  });
}

function failure(error: Error): NoAnswerError {
  return new NoAnswerError(error.message, { cause: error });
}
