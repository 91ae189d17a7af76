/** An upstream's WebSocket, on its way to the client without a frame of it being looked at. */
import type { Tunnel } from '#shared/platform/platform.ts';

/** RFC 6455 section 7.4.1. */
const GOING_AWAY = 1001;

export class WebTunnel implements Tunnel {
  /** Not accepted by us: handed on as it is, the runtime joins both ends itself. */
  readonly webSocket: WebSocket;

  constructor(webSocket: WebSocket) {
    this.webSocket = webSocket;
  }

  cancel(): void {
    // One that was never accepted cannot be closed.
    this.webSocket.accept();
    this.webSocket.close(GOING_AWAY);
  }
}
