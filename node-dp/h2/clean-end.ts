/** Whether a stream of HTTP/2 was ended by its peer, or only reset. */
import type { Http2Stream } from 'node:http2';

/**
 * Node reads a reset without a complaint (RST_STREAM with NO_ERROR) as the end of the stream, also in
 * the middle of a body; and it tells nobody of END_STREAM. But it ends the reading before it marks the
 * stream closed when the frame said so, and after that when it did not.
 *
 * @returns whether END_STREAM has come
 */
export function watchEnd(stream: Http2Stream): () => boolean {
  let isEnded = stream.endAfterHeaders;
  const push = stream.push.bind(stream);
  stream.push = (chunk: unknown, encoding?: BufferEncoding): boolean => {
    if (chunk === null && !stream.closed && !stream.destroyed) isEnded = true;
    return push(chunk, encoding);
  };
  return () => isEnded || stream.endAfterHeaders;
}
