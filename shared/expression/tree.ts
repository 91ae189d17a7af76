/** A checked expression: fields known, types suited, literals read. */
import type { Cidr, IpNumber } from '../base/ip.ts';
import type { LinearRegex } from '../regex/regex.ts';

export type Subsystem = 'http' | 'stream';

export type ExpressionNode =
  | { readonly type: 'and' | 'or'; readonly terms: readonly ExpressionNode[] }
  | { readonly type: 'not'; readonly term: ExpressionNode }
  | PredicateNode;

export interface PredicateNode {
  readonly type: 'predicate';
  readonly field: Field;
  /** Of several values one is enough; otherwise all must fit. None never fits. */
  readonly isAny: boolean;
  /** The value in lower case is compared. */
  readonly isLower: boolean;
  readonly test: Test;
}

export type Field =
  | { readonly type: 'protocol' | 'sni' | 'method' | 'host' | 'path' }
  /** Parts of the path between slashes, from 0, both ends included. */
  | { readonly type: 'segments'; readonly first: number; readonly last: number }
  /** Lower case, underscores as dashes. */
  | { readonly type: 'header'; readonly name: string }
  | { readonly type: 'query'; readonly name: string }
  | { readonly type: 'source-port' | 'destination-port' | 'segment-count' }
  | { readonly type: 'source-ip' | 'destination-ip' };

export type Test =
  | {
      readonly type: 'text';
      readonly operator: '==' | '!=' | '^=' | '=^' | 'contains';
      readonly text: string;
    }
  | { readonly type: 'regex'; readonly regex: LinearRegex }
  | {
      readonly type: 'int';
      readonly operator: '==' | '!=' | '>' | '>=' | '<' | '<=';
      readonly value: number;
    }
  | { readonly type: 'ip'; readonly operator: '==' | '!='; readonly address: IpNumber }
  | {
      readonly type: 'cidr';
      readonly operator: 'in' | 'not in';
      readonly network: Cidr;
      /** An IPv6 network, which holds no IPv4 address, be it `::/0`. */
      readonly isV6: boolean;
    };
