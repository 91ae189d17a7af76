import { describe, expect, it } from 'vitest';
import type { Logger } from '#shared/platform/platform.ts';
import type { AccessLogEntry } from '#shared/proxy/log-entry.ts';
import { AccessLog, PENDING_LENGTH_MAX, type LineSink } from './access-log.ts';

const ENTRY: AccessLogEntry = {
  request_id: '0'.repeat(32),
  started_at: 0,
  client_ip: '127.0.0.1',
  request: {
    method: 'GET',
    uri: `/${'a'.repeat(1000)}\r\n\u001b[31m`,
    query_names: [],
    scheme: 'http',
    host: 'a',
    http_version: '1.1',
  },
  response: { status: 200, size: 0, complete: true, source: 'gateway' },
  latencies: { request: 0, proxy: -1, gateway: 0 },
  workspace: null,
  route: null,
  service: null,
  consumer: null,
  upstream_uri: null,
  tries: [],
};

class TestSink implements LineSink {
  text = '';
  #waiting: (() => void)[] = [];

  write(text: string, done: () => void): boolean {
    this.text += text;
    this.#waiting.push(done);
    return false;
  }

  take(): void {
    for (const done of this.#waiting.splice(0)) done();
  }
}

describe('the access log', () => {
  it('writes one line of JSON per request, control bytes escaped', () => {
    const sink = new TestSink();
    const log = new AccessLog(sink, { log: () => {} });
    log.write(ENTRY);
    log.write(ENTRY);
    log.flush();

    const lines = sink.text.trimEnd().split('\n');
    expect(lines).toHaveLength(2);
    expect(JSON.parse(lines[0] ?? '')).toEqual(ENTRY);
  });

  it('drops lines, counts them and says so, rather than hold more than its bound', () => {
    const said: unknown[] = [];
    const logger: Logger = { log: (_level, _message, fields) => said.push(fields) };
    const sink = new TestSink();
    const log = new AccessLog(sink, logger);
    const lineLength = JSON.stringify(ENTRY).length + 1;
    const count = Math.ceil(PENDING_LENGTH_MAX / lineLength) + 100;

    for (let i = 0; i < count; i += 1) log.write(ENTRY);
    log.flush();

    expect(sink.text.length).toBeLessThanOrEqual(PENDING_LENGTH_MAX + lineLength);
    expect(log.dropped).toBeGreaterThan(90);
    sink.take();
    expect(said).toEqual([{ lines: log.dropped }]);
    log.write(ENTRY);
    log.flush();
    expect(sink.text.split('\n')).toHaveLength(count - log.dropped + 2);
  });
});
