/**
 * A place for few, whole objects under names, which outlives control planes: a bucket of any
 * S3-compatible store, a plain web address (read only), or a folder. What is read from it is proven by
 * whoever reads it; the place itself is trusted with nothing.
 *
 * `aws4fetch` signs what goes to a bucket (AWS Signature Version 4).
 */
import { mkdir, readdir, readFile, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AwsClient } from 'aws4fetch';
import { errorCode, PRIVATE_FILE_MODE, writeFileAtomic } from './files.ts';

export interface ObjectStore {
  /** Null when there is none. @throws when the store cannot be asked */
  get(name: string): Promise<string | null>;
  put(name: string, text: string): Promise<void>;
  remove(name: string): Promise<void>;
  /** Names that begin so, in no order. */
  list(prefix: string): Promise<string[]>;
}

export interface ObjectStoreSettings {
  /** `https://endpoint/bucket/prefix`, `file:///folder`. */
  readonly url: string;
  /** Null: requests are not signed. */
  readonly credentials: {
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    readonly region: string;
  } | null;
}

/** Longest object, in bytes: some hundred entities of a megabyte would be more. */
export const OBJECT_BYTES_MAX = 128 * 1024 * 1024;
/** From the request to the last byte of the answer. */
const REQUEST_MS_MAX = 30_000;
/** `aws4fetch` repeats what failed by the server's fault, waiting 50 ms, 100 ms … */
const RETRIES_MAX = 3;
/** Pages of a listing: a million names. */
const LIST_PAGES_MAX = 1000;

export function openObjectStore({ url, credentials }: ObjectStoreSettings): ObjectStore {
  const base = new URL(url.endsWith('/') ? url : `${url}/`);
  if (base.protocol === 'file:') return new Folder(fileURLToPath(base));
  if (credentials === null) return new WebStore(base);
  return new Bucket(base, new AwsClient({ ...credentials, service: 's3', retries: RETRIES_MAX }));
}

type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** What anybody may read. */
class WebStore implements ObjectStore {
  readonly base: URL;

  constructor(base: URL) {
    this.base = base;
  }

  async get(name: string): Promise<string | null> {
    return getText((url, init) => fetch(url, init), urlOf(this.base, name));
  }

  put(): Promise<void> {
    return Promise.reject(new Error('writing to the store needs an access key'));
  }

  remove(): Promise<void> {
    return this.put();
  }

  list(): Promise<string[]> {
    return Promise.reject(new Error('listing the store needs an access key'));
  }
}

class Bucket implements ObjectStore {
  readonly #base: URL;
  readonly #client: AwsClient;

  constructor(base: URL, client: AwsClient) {
    this.#base = base;
    this.#client = client;
  }

  async get(name: string): Promise<string | null> {
    return getText((url, init) => this.#client.fetch(url, init), urlOf(this.#base, name));
  }

  async put(name: string, text: string): Promise<void> {
    await this.#change('PUT', name, text);
  }

  async remove(name: string): Promise<void> {
    await this.#change('DELETE', name, null);
  }

  async list(prefix: string): Promise<string[]> {
    const [, bucket = '', ...folders] = this.#base.pathname.split('/');
    const root = folders.join('/');
    const names: string[] = [];
    let token: string | null = null;
    for (let page = 0; page < LIST_PAGES_MAX; page++) {
      const url = new URL(`/${bucket}`, this.#base);
      url.searchParams.set('list-type', '2');
      url.searchParams.set('prefix', decodeURIComponent(root) + prefix);
      if (token !== null) url.searchParams.set('continuation-token', token);
      const response = await this.#client.fetch(url.href, bounded('GET', null));
      const text = await response.text();
      if (!response.ok) throw failure('list', prefix, response);
      for (const key of tagged(text, 'Key')) names.push(key.slice(decodeURIComponent(root).length));
      [token = null] = tagged(text, 'NextContinuationToken');
      if (token === null) return names;
    }
    throw new Error('the store lists more names than can be');
  }

  async #change(method: 'PUT' | 'DELETE', name: string, body: string | null): Promise<void> {
    const response = await this.#client.fetch(urlOf(this.#base, name), bounded(method, body));
    await response.arrayBuffer();
    if (!response.ok) throw failure(method, name, response);
  }
}

class Folder implements ObjectStore {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  async get(name: string): Promise<string | null> {
    const path = this.#pathOf(name);
    try {
      const { size } = await stat(path);
      if (size > OBJECT_BYTES_MAX) throw new Error(`${name} is larger than an object can be`);
      return await readFile(path, 'utf8');
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return null;
      throw error;
    }
  }

  async put(name: string, text: string): Promise<void> {
    const path = this.#pathOf(name);
    await mkdir(dirname(path), { recursive: true });
    await writeFileAtomic(path, text, PRIVATE_FILE_MODE);
  }

  async remove(name: string): Promise<void> {
    try {
      await unlink(this.#pathOf(name));
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error;
    }
  }

  #pathOf(name: string): string {
    return join(this.#path, insideOf(name));
  }

  async list(prefix: string): Promise<string[]> {
    const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    try {
      const found = await readdir(folder === '' ? this.#path : this.#pathOf(folder.slice(0, -1)));
      return found.map((name) => folder + name).filter((name) => name.startsWith(prefix));
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return [];
      throw error;
    }
  }
}

/** @throws when it would lead out of the place */
function insideOf(name: string): string {
  const isInside = name.split('/').every((part) => part !== '' && !/^\.\.?$/.test(part));
  if (!isInside || name.includes('\0')) throw new Error(`${name} is no name of an object`);
  return name;
}

function urlOf(base: URL, name: string): string {
  return new URL(insideOf(name).split('/').map(encodeURIComponent).join('/'), base).href;
}

function bounded(method: string, body: string | null): RequestInit {
  return { method, body, redirect: 'error', signal: AbortSignal.timeout(REQUEST_MS_MAX) };
}

async function getText(request: Fetch, url: string): Promise<string | null> {
  const response = await request(url, bounded('GET', null));
  if (response.status === 404) {
    await response.body?.cancel();
    return null;
  }
  if (!response.ok || response.body === null) {
    await response.body?.cancel();
    throw failure('GET', new URL(url).pathname, response);
  }
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body) {
    length += chunk.length;
    if (length > OBJECT_BYTES_MAX) throw new Error('larger than an object can be');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** The status only: an error page may quote what was sent. */
function failure(what: string, name: string, { status }: Response): Error {
  return new Error(`the object store answered ${status} to ${what} ${name}`);
}

/** Texts of an element in S3's flat XML. */
function tagged(xml: string, tag: string): string[] {
  const pattern = new RegExp(`<${tag}>([^<]*)</${tag}>`, 'g');
  return [...xml.matchAll(pattern)].map(([, text = '']) =>
    text
      .replaceAll('&lt;', '<')
      .replaceAll('&gt;', '>')
      .replaceAll('&quot;', '"')
      .replaceAll('&apos;', "'")
      .replaceAll('&amp;', '&'),
  );
}
