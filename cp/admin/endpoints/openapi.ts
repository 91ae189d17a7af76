/** `/openapi.json`: what the Admin API says of itself. */
import type { Endpoint } from '../context.ts';
import { openapiDocument } from '../openapi/document.ts';

/** @param all  every endpoint, these included; asked for with the first request */
export function openapiEndpoints(all: () => readonly Endpoint[]): Endpoint[] {
  let text: string | null = null;
  return [
    {
      path: '/openapi.json',
      area: 'info',
      methods: {
        GET: ({ registry }) => {
          text ??= JSON.stringify(openapiDocument(all(), registry));
          return { status: 200, body: text, headers: { 'Content-Type': 'application/json' } };
        },
      },
    },
  ];
}
