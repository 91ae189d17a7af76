/** What tests inside workerd need outside of it: an upstream to talk to. */
import { createServer } from 'node:net';
import type { TestProject } from 'vitest/node';
import { startEchoUpstream } from './echo-upstream.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    echo: { readonly host: string; readonly port: number; readonly closedPort: number };
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const upstream = await startEchoUpstream();
  const { host, port } = upstream;
  project.provide('echo', { host, port, closedPort: await closedPort() });
  return () => upstream.close();
}

/** A port where nobody listens: it was given out a moment ago. */
function closedPort(): Promise<number> {
  const server = createServer();
  return new Promise((resolve) => {
    server.listen({ host: '127.0.0.1', port: 0 }, () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
