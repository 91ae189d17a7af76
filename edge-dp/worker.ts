/** The edge data plane: one Worker, and the Durable Object that is its node. */
import { BindingError, hubOf, parseBindings, type Env } from './bindings.ts';
import { Isolate } from './isolate.ts';

export { ConfigHub } from './config-hub.ts';

/** One per isolate, made by its first request: bindings and randomness exist only then. */
let isolate: Isolate | null = null;

export default {
  fetch(request, env): Response | Promise<Response> {
    try {
      isolate ??= new Isolate(parseBindings(env));
    } catch (error) {
      return misconfigured(error);
    }
    return isolate.fetch(request);
  },

  /** The hub keeps itself awake by an alarm; this is for when the chain of alarms was lost. */
  async scheduled(_controller, env): Promise<void> {
    await hubOf(parseBindings(env)).ensure();
  },
} satisfies ExportedHandler<Env>;

/** The log says what is wrong with the deployment; a stranger is not told. */
function misconfigured(error: unknown): Response {
  if (!(error instanceof BindingError)) throw error;
  console.error(JSON.stringify({ level: 'error', name: 'edge', message: error.message }));
  return Response.json({ message: 'An unexpected error occurred' }, { status: 500 });
}
