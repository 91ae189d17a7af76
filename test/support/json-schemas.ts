/** The schemas of an OpenAPI document, as somebody else's validator reads them. */
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import { fullFormats } from 'ajv-formats/dist/formats.js';
import type { JsonObject } from '#shared/schema/field.ts';

export interface JsonSchemas {
  /** What is wrong with a value by the component of this name; empty when nothing is. */
  errors(name: string, value: unknown): string;
}

/** A schema with many variants complains of each. */
const TEXT_MAX = 1000;

export function jsonSchemas(document: JsonObject): JsonSchemas {
  const ajv = new Ajv2020({ strict: false, allErrors: true, discriminator: false });
  for (const [name, format] of Object.entries(fullFormats)) ajv.addFormat(name, format);
  ajv.addSchema({ $id: 'document', ...document });
  const compiled = new Map<string, ValidateFunction>();
  return {
    errors(name, value) {
      const ref = `document#/components/schemas/${name}`;
      const validate = compiled.get(name) ?? ajv.compile({ $ref: ref });
      compiled.set(name, validate);
      validate(value);
      return validate.errors === null || validate.errors === undefined
        ? ''
        : validate.errors
            .map(({ instancePath, message, params }) =>
              [instancePath, message, JSON.stringify(params)].join(' '),
            )
            .join('; ')
            .slice(0, TEXT_MAX);
    },
  };
}
