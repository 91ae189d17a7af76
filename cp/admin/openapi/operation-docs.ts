/** What an operation of the Admin API says of itself: the facts that the OpenAPI document is made of. */
import type { Fields, JsonObject } from '#shared/schema/field.ts';
import type { SchemaUse } from '#shared/schema/to-json-schema.ts';
import type { Method } from '../context.ts';
import type { ErrorStatus } from './errors-docs.ts';
import type { ParameterName } from './parameters.ts';

/** Of one path. */
export type Operations = Readonly<Partial<Record<Method, OperationDocs>>>;

export interface OperationDocs {
  /** Group of operations. */
  readonly tag: string;
  /** A few words, as an order: `List services`. */
  readonly summary: string;
  readonly description?: string;
  /** Arguments of the query and headers that mean something here. */
  readonly parameters?: readonly (ParameterName | ParameterDocs)[];
  readonly body?: BodyDocs;
  /** Null: it always fails, in one of `errors`. */
  readonly answer: AnswerDocs | null;
  /** Other ways in which it goes well. */
  readonly otherAnswers?: readonly AnswerDocs[];
  /** What can go wrong here, beyond what can everywhere. */
  readonly errors?: readonly ErrorStatus[];
}

export interface ParameterDocs {
  readonly name: string;
  readonly in: 'query' | 'header';
  readonly description: string;
  readonly required?: boolean;
  readonly schema: JsonObject;
}

export type ContentDocs =
  /** An entity. For bodies in forms as well. */
  | { readonly type: 'entity'; readonly kind: string; readonly use: SchemaUse }
  /** A page of a collection of them. */
  | { readonly type: 'page'; readonly kind: string }
  /** Members in the definition language. */
  | { readonly type: 'record'; readonly fields: Fields; readonly mediaTypes?: readonly string[] }
  | {
      readonly type: 'schema';
      readonly schema: JsonObject;
      readonly mediaTypes?: readonly string[];
    };

export type BodyDocs = ContentDocs & {
  readonly description?: string;
  readonly optional?: boolean;
  readonly example?: JsonObject;
};

export interface AnswerDocs {
  readonly status: 200 | 201 | 202 | 204 | 304;
  readonly description?: string;
  readonly body?: ContentDocs;
  /** Present on it, by name of a component. */
  readonly headers?: readonly ('ETag' | 'Headgate-Version')[];
}
