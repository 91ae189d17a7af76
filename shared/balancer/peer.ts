/** One address that requests can go to, and what is known of it. Outlives configurations. */
import { Health } from '../health/health.ts';
import { targetKey } from './target.ts';

export interface PeerPlace {
  /** `host:port` of the target it belongs to. */
  readonly target: string;
  /** Name or address that is meant, IPv6 without brackets: what Host and SNI say. */
  readonly host: string;
  /** The name that an SRV record points to, for `use_srv_name`; null where there was none. */
  readonly srvName: string | null;
  /** Address to connect to, IPv6 without brackets; null: the transport resolves `host`. */
  readonly address: string | null;
  readonly port: number;
}

export class Peer implements PeerPlace {
  /** Names it within its Upstream. */
  readonly key: string;
  readonly target: string;
  readonly host: string;
  readonly srvName: string | null;
  readonly address: string | null;
  readonly port: number;
  health = new Health();
  /** Requests under way. */
  active = 0;
  /** Average time to a response's head, ms, as of `latencyAt`; negative before the first one. */
  latencyMs = -1;
  /** On the monotonic clock, ms. */
  latencyAt = 0;
  /** Since when no configuration and no name stands for it (monotonic, ms); null: one does. */
  goneAt: number | null = null;

  constructor(place: PeerPlace) {
    this.key = peerKey(place);
    this.target = place.target;
    this.host = place.host;
    this.srvName = place.srvName;
    this.address = place.address;
    this.port = place.port;
  }

  /** It was gone for so long that nothing of it holds any more. */
  forget(): void {
    this.health = new Health();
    this.latencyMs = -1;
  }

  /** The address, or the name where the transport resolves. */
  get ip(): string {
    return this.address ?? this.host;
  }

  /** `ip:port`, IPv6 in brackets. */
  get shown(): string {
    return targetKey(this.ip, this.port);
  }
}

/** Two targets may stand for one address: each has its own opinion of it, as in Kong. */
export function peerKey({ target, host, address, port }: Omit<PeerPlace, 'srvName'>): string {
  return `${target}|${address ?? host}|${port}`;
}

/** A peer's part in one balancer. */
export interface Share {
  readonly peer: Peer;
  /** Above 0. */
  readonly weight: number;
}
