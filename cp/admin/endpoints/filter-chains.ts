/** WebAssembly filters: Kong's paths, answered as by a Kong that has them turned off. */
import type { AdminHandler, Endpoint } from '../context.ts';
import { AdminError } from '../errors.ts';

const off: AdminHandler = () => {
  throw new AdminError(400, {
    message: 'this endpoint is only available when wasm is enabled',
  });
};

const CHAIN_PATHS: readonly (readonly [path: string, ...parameters: string[]])[] = [
  ['/filter-chains'],
  ['/filter-chains/:0', 'filter_chains'],
  ['/filter-chains/:0/route', 'filter_chains'],
  ['/filter-chains/:0/service', 'filter_chains'],
  ['/routes/:0/filter-chains', 'routes'],
  ['/routes/:0/filter-chains/:1', 'routes', 'filter_chains'],
  ['/services/:0/filter-chains', 'services'],
  ['/services/:0/filter-chains/:1', 'services', 'filter_chains'],
];

export function filterChainEndpoints(): Endpoint[] {
  return [
    ...CHAIN_PATHS.map(([path, ...parameters]) => ({
      path,
      parameters,
      methods: { GET: off, POST: off, PUT: off, PATCH: off, DELETE: off },
    })),
    ...['all', 'disabled', 'enabled'].map((which) => ({
      path: `/routes/:0/filters/${which}`,
      parameters: ['routes'],
      methods: { GET: off },
    })),
  ];
}
