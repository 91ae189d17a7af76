/** The counters of `GET /status`, in Kong's names. */
import type { JsonObject } from '#shared/schema/field.ts';
import type { Role } from '../listeners.ts';

export class ServerStatus {
  #total = 0;
  #active = 0;
  #handled = 0;
  readonly #seen = new WeakSet<object>();

  /** The same role, counted. */
  counted(role: Role): Role {
    return {
      upgrade: role.upgrade,
      request: (request, response) => {
        this.#total++;
        if (!this.#seen.has(request.socket)) {
          this.#seen.add(request.socket);
          this.#handled++;
          this.#active++;
          request.socket.once('close', () => this.#active--);
        }
        return role.request(request, response);
      },
    };
  }

  report(): JsonObject {
    return {
      connections_accepted: this.#handled,
      connections_active: this.#active,
      connections_handled: this.#handled,
      connections_reading: 0,
      connections_waiting: 0,
      connections_writing: 1,
      total_requests: this.#total,
    };
  }
}
