import { describe, expect, it } from 'vitest';
import { fromUtf8 } from '../base/bytes.ts';
import { errorFormat, errorResponse, errorText, grpcStatus } from './error-response.ts';
import { ERROR_CODES, GatewayError } from './errors.ts';
import { HeaderList } from './headers.ts';

const ID = '0123456789abcdef0123456789abcdef';
const MESSAGE = 'no Route matched with those values';

describe('the body of an error (kong-contract 5.7)', () => {
  it('is JSON over four lines, to the byte', () => {
    expect(errorText('json', MESSAGE, ID)).toBe(
      `{\n  "message":"no Route matched with those values",\n  "request_id":"${ID}"\n}`,
    );
  });

  it('is HTML, to the byte', () => {
    expect(errorText('html', MESSAGE, ID)).toBe(
      '<!doctype html>\n<html>\n  <head>\n    <meta charset="utf-8">\n    <title>Error</title>\n' +
        '  </head>\n  <body>\n    <h1>Error</h1>\n    <p>no Route matched with those values.</p>\n' +
        `    <p>request_id: ${ID}</p>\n  </body>\n</html>\n`,
    );
  });

  it('is plain text, to the byte', () => {
    expect(errorText('plain', MESSAGE, ID)).toBe(`${MESSAGE}\nrequest_id: ${ID}\n`);
  });

  it('is XML, to the byte', () => {
    expect(errorText('xml', MESSAGE, ID)).toBe(
      '<?xml version="1.0" encoding="UTF-8"?>\n<error>\n' +
        `  <message>${MESSAGE}</message>\n  <requestid>${ID}</requestid>\n</error>\n`,
    );
  });

  it('escapes a message for the format it stands in', () => {
    expect(errorText('json', 'a"b', ID)).toContain('"a\\"b"');
    expect(errorText('html', '<b>&', ID)).toContain('&#60;b&#62;&#38;');
    expect(errorText('xml', '<b>', ID)).toContain('&#60;b&#62;');
  });
});

describe('the format', () => {
  it.each([
    [[], 'json'],
    [['*/*'], 'json'],
    [['application/*'], 'json'],
    [['application/json'], 'json'],
    [['text/html'], 'html'],
    [['TEXT/HTML'], 'html'],
    [['text/plain'], 'plain'],
    [['text/*'], 'plain'],
    [['application/xml'], 'xml'],
    [['image/png'], 'json'],
    [['text/html;q=0.5, application/xml;q=0.9'], 'xml'],
    [['text/html, application/xml'], 'html'],
    [['text/plain;q=0'], 'json'],
    [['text/html;level=1;q=0.3', 'text/plain;q=0.4'], 'plain'],
    [['text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'], 'html'],
    [['nonsense'], 'json'],
    [[''], 'json'],
    [[`${'a/b;q=0.1,'.repeat(32)}text/html`], 'json'],
  ] as const)('for Accept %j is %s', (accept, expected) => {
    expect(errorFormat(accept)).toBe(expected);
  });
});

describe('errorResponse', () => {
  it('answers in the accepted format with the status', () => {
    const response = errorResponse(
      new HeaderList(['Accept', 'text/plain']),
      { status: 404, message: MESSAGE, requestId: ID },
      [['Connection', 'Upgrade']],
    );

    expect(response.status).toBe(404);
    expect(response.headers.raw).toEqual([
      'Content-Type',
      'text/plain; charset=utf-8',
      'Connection',
      'Upgrade',
    ]);
    expect(fromUtf8(response.body as Uint8Array)).toBe(errorText('plain', MESSAGE, ID));
  });

  it('tells gRPC in headers and sends no body', () => {
    const response = errorResponse(new HeaderList(['content-type', 'application/grpc+proto']), {
      status: 503,
      message: 'non é 100%',
      requestId: ID,
    });

    expect(response.status).toBe(503);
    expect(response.body).toBeNull();
    expect(response.headers.get('grpc-status')).toBe('14');
    expect(response.headers.get('grpc-message')).toBe('non %C3%A9 100%25');
  });

  it.each([
    [401, 16],
    [403, 7],
    [404, 5],
    [429, 8],
    [503, 14],
    [504, 4],
    [418, 9],
    [502, 13],
  ])('maps %i to gRPC status %i', (status, expected) => {
    expect(grpcStatus(status)).toBe(expected);
  });
});

describe('GatewayError', () => {
  it('carries status, words and fault of its code', () => {
    const error = new GatewayError('no_route');

    expect(error).toMatchObject({
      code: 'no_route',
      status: 404,
      message: MESSAGE,
      source: 'downstream',
    });
  });

  it('keeps the cause and takes other words', () => {
    const cause = new Error('refused');

    expect(new GatewayError('internal', { cause, message: 'x' })).toMatchObject({
      cause,
      message: 'x',
    });
  });

  it('has a client or server status for every code', () => {
    for (const code of ERROR_CODES) {
      const { status, message } = new GatewayError(code);
      expect(status, code).toBeGreaterThanOrEqual(400);
      expect(message, code).not.toBe('');
    }
  });
});
