/** What a route may and must have, by its first protocol. */
import type { Subschema } from '../schema/field.ts';
import { addresses, headers, hosts, methods, routerPaths } from '../schema/typedefs.ts';

const HTTP = "when 'protocols' is 'http' or 'https'";
const GRPC = "when 'protocols' is 'grpc' or 'grpcs'";
const STREAM = "when 'protocols' is 'tcp', 'tls', 'tls_passthrough' or 'udp'";

export const httpRoute: Subschema = {
  name: 'http',
  fields: {
    sources: { ...addresses, eq: null, err: `cannot set 'sources' ${HTTP}` },
    destinations: { ...addresses, eq: null, err: `cannot set 'destinations' ${HTTP}` },
  },
  entity_checks: [
    {
      conditional_at_least_one_of: {
        if_field: 'protocols',
        if_match: { contains: 'https' },
        then_at_least_one_of: ['methods', 'hosts', 'headers', 'paths', 'snis'],
        then_err: "must set one of %s when 'protocols' is 'https'",
        else_match: { contains: 'http' },
        else_then_at_least_one_of: ['methods', 'hosts', 'headers', 'paths'],
        else_then_err: "must set one of %s when 'protocols' is 'http'",
      },
    },
  ],
};

export const streamRoute: Subschema = {
  name: 'tcp',
  fields: {
    methods: { ...methods, eq: null, err: `cannot set 'methods' ${STREAM}` },
    hosts: { ...hosts, eq: null, err: `cannot set 'hosts' ${STREAM}` },
    paths: { ...routerPaths, eq: null, err: `cannot set 'paths' ${STREAM}` },
    headers: { ...headers, eq: null, err: `cannot set 'headers' ${STREAM}` },
  },
  entity_checks: [
    {
      conditional_at_least_one_of: {
        if_field: 'protocols',
        if_match: { elements: { type: 'string', one_of: ['tcp', 'tls', 'udp'] } },
        then_at_least_one_of: ['sources', 'destinations', 'snis'],
        then_err: "must set one of %s when 'protocols' is 'tcp', 'tls' or 'udp'",
      },
    },
    {
      conditional_at_least_one_of: {
        if_field: 'protocols',
        if_match: { elements: { type: 'string', one_of: ['tls_passthrough'] } },
        then_at_least_one_of: ['snis'],
        then_err: "must set snis when 'protocols' is 'tls_passthrough'",
      },
    },
  ],
};

export const grpcRoute: Subschema = {
  name: 'grpc',
  fields: {
    strip_path: {
      type: 'boolean',
      required: true,
      default: false,
      ne: true,
      err: `cannot set 'strip_path' ${GRPC}`,
    },
    methods: { ...methods, eq: null, err: `cannot set 'methods' ${GRPC}` },
    sources: { ...addresses, eq: null, err: `cannot set 'sources' ${GRPC}` },
    destinations: { ...addresses, eq: null, err: `cannot set 'destinations' ${GRPC}` },
  },
  entity_checks: [
    {
      conditional_at_least_one_of: {
        if_field: 'protocols',
        if_match: { contains: 'grpcs' },
        then_at_least_one_of: ['hosts', 'headers', 'paths', 'snis'],
        then_err: "must set one of %s when 'protocols' is 'grpcs'",
        else_match: { contains: 'grpc' },
        else_then_at_least_one_of: ['hosts', 'headers', 'paths'],
        else_then_err: "must set one of %s when 'protocols' is 'grpc'",
      },
    },
  ],
};
