/** The upstream's side of a connection that carries bytes of no concern to us. */
import type { Socket } from 'node:net';
import type { Tunnel } from '#shared/platform/platform.ts';

export interface TunnelLimits {
  /** Longest silence, either way. */
  readonly idleMs: number;
  /** Longest time the upstream may take nothing. */
  readonly stallMs: number;
}

export class SocketTunnel implements Tunnel {
  readonly socket: Socket;
  readonly limits: TunnelLimits;

  /** @param socket  paused; what was read of it beyond the handshake is still in it */
  constructor(socket: Socket, limits: TunnelLimits) {
    this.socket = socket;
    this.limits = limits;
    // What one side has ended, the other may still answer.
    socket.allowHalfOpen = true;
    // Until it is joined nobody else listens.
    socket.on('error', ignore);
  }

  cancel(): void {
    this.socket.destroy();
  }
}

function ignore(): void {}
