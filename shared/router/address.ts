/** Sources and destinations of a route: an address or network, a port, or both. */
import { isInCidr, parseCidr, parseIp } from '../base/ip.ts';
import type { Cidr, IpNumber } from '../base/ip.ts';
import type { Route } from '../entities/route.ts';
import { isGiven, isSet } from './rank.ts';

export interface AddressTest {
  /** Null for any. */
  readonly network: Cidr | null;
  /** Null for any. */
  readonly port: number | null;
  /** As written. */
  readonly text: string;
}

/** Null for any. What cannot be read is left out whole, so that the route matches more, never less. */
export function compileAddresses(
  addresses: Route['sources'],
  faults: string[],
): readonly AddressTest[] | null {
  if (!isSet(addresses)) return null;
  const tests: AddressTest[] = [];
  for (const { ip, port } of addresses) {
    const network = isGiven(ip) ? parseCidr(ip) : null;
    if (isGiven(ip) && network === null) {
      faults.push(`address ${ip}: not an IP address or network`);
      return null;
    }
    const text = [ip, port].filter(isGiven).join(' port ');
    tests.push({ network, port: port ?? null, text });
  }
  return tests;
}

/** One side of a connection, read when first asked about. Reused from one request to the next. */
export class Side {
  #address = '';
  #port = 0;
  #ip: IpNumber | null = null;
  #isRead = false;

  set(address: string, port: number): void {
    this.#address = address;
    this.#port = port;
    this.#isRead = false;
  }

  /** For people. */
  get text(): string {
    return `${this.#address} port ${this.#port}`;
  }

  isAny(tests: readonly AddressTest[]): boolean {
    for (const { network, port } of tests) {
      if (port !== null && port !== this.#port) continue;
      if (network === null) return true;
      const ip = this.#read();
      if (ip !== null && isInCidr(ip, network)) return true;
    }
    return false;
  }

  #read(): IpNumber | null {
    if (!this.#isRead) {
      this.#ip = parseIp(this.#address);
      this.#isRead = true;
    }
    return this.#ip;
  }
}
