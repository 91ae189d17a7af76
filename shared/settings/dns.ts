/** Settings of a Node data plane's DNS client, named after Kong's `dns_*`. */
import { parseIp } from '../base/ip.ts';
import { defineFields, type RecordOf } from '../schema/infer.ts';

export interface ServerAddress {
  /** IPv6 without brackets. */
  readonly address: string;
  readonly port: number;
}

const DNS_PORT = 53;

/** `address`, `address:port`, `[v6]:port`. Null for anything else, zones included. */
export function parseServer(text: string): ServerAddress | null {
  if (parseIp(text) !== null) return { address: text.replace(/^\[|\]$/g, ''), port: DNS_PORT };
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  const address = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (address === undefined || parseIp(address) === null) return null;
  return port >= 1 && port <= 65535 ? { address, port } : null;
}

function serverError(text: string): string | null {
  return parseServer(text) === null ? 'addresses such as 10.0.0.53 or [fd00::53]:5353' : null;
}

/** Kong's words. `CNAME` changes nothing: aliases are followed in any case. */
export const DNS_ORDER_ITEMS = ['LAST', 'SRV', 'A', 'AAAA', 'CNAME'] as const;

function orderError(text: string): string | null {
  const upper = text.toUpperCase();
  if (DNS_ORDER_ITEMS.some((item) => item === upper)) return null;
  return `${DNS_ORDER_ITEMS.join(', ')}`;
}

const SECONDS_MAX = 604_800;

export const DNS_SETTINGS = defineFields({
  HEADGATE_DNS_RESOLVER: {
    type: 'array',
    required: true,
    default: [],
    elements: { type: 'string', custom_validator: serverError },
    description: 'Name servers, ip or ip:port. Default: those of /etc/resolv.conf.',
  },
  HEADGATE_DNS_HOSTSFILE: {
    type: 'string',
    required: true,
    default: '/etc/hosts',
    description: 'The hosts file; read once.',
  },
  HEADGATE_DNS_ORDER: {
    type: 'array',
    required: true,
    default: ['LAST', 'SRV', 'A', 'AAAA', 'CNAME'],
    elements: { type: 'string', custom_validator: orderError },
    description:
      'Record types to ask for, in turn; LAST is the type that was found last time. Aliases are always followed.',
  },
  HEADGATE_DNS_VALID_TTL: {
    type: 'integer',
    between: [1, SECONDS_MAX],
    description: 'Seconds that records are used, whatever they say themselves.',
  },
  HEADGATE_DNS_STALE_TTL: {
    type: 'integer',
    required: true,
    default: 3600,
    between: [0, SECONDS_MAX],
    description: 'Seconds that records are used beyond that while newer ones cannot be had.',
  },
  HEADGATE_DNS_NOT_FOUND_TTL: {
    type: 'integer',
    required: true,
    default: 30,
    between: [1, 3600],
    description: 'Seconds until a name that does not exist is looked up again.',
  },
  HEADGATE_DNS_ERROR_TTL: {
    type: 'integer',
    required: true,
    default: 1,
    between: [1, 3600],
    description: 'Seconds until a look-up that failed is repeated.',
  },
  HEADGATE_DNS_CACHE_SIZE: {
    type: 'integer',
    required: true,
    default: 10000,
    between: [1, 1000000],
    description: 'Names, and records, that are remembered.',
  },
});

export type DnsSettings = RecordOf<typeof DNS_SETTINGS>;
