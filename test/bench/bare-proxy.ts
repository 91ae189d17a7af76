/**
 * The least that `node:http` and undici can do: pass a request on, pass the answer back. What it
 * costs is the runtime's; what a data plane costs beyond it is ours.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { Pool } from 'undici';

const [port = '0', upstream = ''] = process.argv.slice(2);
const pool = new Pool(`http://${upstream}`, { connections: 128, pipelining: 1 });

function pass(request: IncomingMessage, response: ServerResponse): void {
  const options = {
    path: request.url ?? '/',
    method: 'GET' as const,
    headers: request.rawHeaders,
  };
  pool.dispatch(options, {
    onRequestStart() {},
    onResponseStart(_controller, status, headers) {
      response.writeHead(status, headers as NodeJS.Dict<string | string[]>);
    },
    onResponseData(_controller, chunk) {
      response.write(chunk);
    },
    onResponseEnd() {
      response.end();
    },
    onResponseError() {
      response.destroy();
    },
  });
}

createServer(pass).listen(Number(port), '127.0.0.1');
