import { describe, expect, it } from 'vitest';
import { HeaderList } from './headers.ts';
import { passableTrailers } from './trailers.ts';

describe('trailers', () => {
  it('are passed on as they came, repeated ones too', () => {
    const trailers = new HeaderList([
      'grpc-status',
      '0',
      'X-Sum',
      '1',
      'x-sum',
      '2',
      'etag',
      '"a"',
    ]);

    expect(passableTrailers(trailers)).toEqual(trailers);
  });

  it.each([
    'Content-Length',
    'Transfer-Encoding',
    'Host',
    'Authorization',
    'Cookie',
    'Set-Cookie',
    'Connection',
    'TE',
    'Trailer',
    'Cache-Control',
    'If-Match',
    'X-Consumer-ID',
    'x_consumer_id',
    'X-Forwarded-For',
    'X-Kong-Request-Id',
    ':status',
  ])('that would act on what has been acted upon are not: %s', (name) => {
    expect(passableTrailers(new HeaderList([name, 'a']))).toBeNull();
    expect(passableTrailers(new HeaderList([name, 'a', 'x-b', '1']))).toEqual(
      new HeaderList(['x-b', '1']),
    );
  });
});
