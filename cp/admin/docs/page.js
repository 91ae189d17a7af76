/**
 * Shows the OpenAPI document of the control plane that this page came from. Everything from the document
 * goes into the page as text, never as markup. Operations and schemas are drawn when they are opened:
 * all of them at once would be half a million nodes.
 */

/** Schemas inside of schemas that are shown without a click. */
const OPEN_DEPTH = 1;
const METHODS = ['get', 'post', 'put', 'patch', 'delete'];

let shown = null;
/** Kept in memory only. */
let token = null;

const byId = (id) => document.getElementById(id);

/** An element with attributes, and children that are elements or texts. */
function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

/** Text in which `code` is set as such. */
function prose(text) {
  return String(text)
    .split(/(`[^`]+`)/)
    .map((part) => (part.startsWith('`') ? el('code', {}, part.slice(1, -1)) : part));
}

/** Paragraphs, and lists of lines that begin with a dash. */
function longProse(text) {
  return text.split(/\n\n+/).map((block) => {
    if (!block.startsWith('- ')) return el('p', {}, prose(block));
    const items = block.slice(2).split(/\n- /);
    return el('ul', {}, ...items.map((item) => el('li', {}, prose(item))));
  });
}

function resolve(value) {
  if (value?.$ref === undefined) return value ?? {};
  let found = shown;
  for (const name of value.$ref.slice(2).split('/')) found = found?.[name];
  return resolve(found);
}

/** Details whose inside is made when they are first opened. */
function lazily(details, make) {
  const fill = () => {
    if (details.dataset.filled === undefined) {
      details.dataset.filled = '';
      details.append(...[make()].flat());
    }
  };
  details.addEventListener('toggle', () => details.open && fill());
  return { details, fill };
}

function typeText(schema) {
  const { type, enum: values, const: only, items, format } = schema;
  if (only !== undefined) return JSON.stringify(only);
  if (values !== undefined) return values.map((value) => JSON.stringify(value)).join(' | ');
  const types = [type].flat().filter((one) => one !== undefined);
  const words = types.map((one) => {
    if (one === 'array') return `list of ${typeText(resolve(items))}`;
    if (one === 'object' && typeof schema.additionalProperties === 'object') {
      return `map of ${typeText(resolve(schema.additionalProperties))}`;
    }
    return one === 'string' && format !== undefined ? format : one;
  });
  if (words.length > 0) return words.join(' or ');
  const choices = schema.anyOf ?? schema.oneOf ?? [];
  return choices.length === 0
    ? 'anything'
    : choices.map((one) => typeText(resolve(one))).join(' or ');
}

/** Bounds and defaults, as short as they can be said. */
function factsOf(schema) {
  const { minimum: low, maximum: high, exclusiveMinimum: above } = schema;
  const facts = [];
  if (low !== undefined || high !== undefined) facts.push(`${low ?? '…'} to ${high ?? '…'}`);
  if (above !== undefined) facts.push(`more than ${above}`);
  if (schema.pattern !== undefined) facts.push(`like ${schema.pattern}`);
  if (schema.maxLength !== undefined) facts.push(`at most ${schema.maxLength} letters`);
  if (schema.minItems !== undefined) facts.push(`at least ${schema.minItems}`);
  if (schema.maxItems !== undefined) facts.push(`at most ${schema.maxItems}`);
  if (schema.uniqueItems === true) facts.push('no two alike');
  if (schema.writeOnly === true) facts.push('never shown');
  if (schema.default !== undefined) facts.push(`default ${JSON.stringify(schema.default)}`);
  return facts.join(', ');
}

/** The schema that has members, in a list, a map or a choice; null when there is none. */
function innerOf(given) {
  const schema = resolve(given);
  if (schema.properties !== undefined || schema.oneOf !== undefined) return schema;
  if (schema.items !== undefined) return innerOf(schema.items);
  if (typeof schema.additionalProperties === 'object') return innerOf(schema.additionalProperties);
  return (schema.anyOf ?? []).map(innerOf).find((found) => found !== null) ?? null;
}

function fieldView(name, given, isNeeded, depth) {
  const schema = resolve(given);
  const facts = factsOf(schema);
  const line = [
    el('code', {}, name),
    ' ',
    el(
      'span',
      { class: 'type' },
      [typeText(schema), facts].filter((text) => text !== '').join(', '),
    ),
    isNeeded ? el('span', { class: 'needed' }, ' needed') : null,
    schema.description === undefined
      ? null
      : el('span', { class: 'about' }, ' · ', prose(schema.description)),
  ];
  const inner = innerOf(schema);
  const old = schema.deprecated === true ? ' old' : '';
  if (inner === null) return el('div', { class: `field${old}` }, ...line);
  const { details, fill } = lazily(
    el('details', { class: `field${old}` }, el('summary', {}, ...line)),
    () => schemaView(inner, depth + 1),
  );
  if (depth < OPEN_DEPTH && Object.keys(inner.properties ?? {}).length <= 3) {
    details.open = true;
    fill();
  }
  return details;
}

function schemaView(given, depth = 0) {
  const schema = resolve(given);
  if (schema.oneOf !== undefined) {
    return el('div', { class: 'fields' }, ...schema.oneOf.map((one) => variantView(one, depth)));
  }
  const names = Object.entries(schema.properties ?? {});
  if (names.length === 0) return el('p', { class: 'type' }, typeText(schema));
  const needed = new Set(schema.required ?? []);
  const rows = names.map(([name, member]) => fieldView(name, member, needed.has(name), depth));
  const about =
    depth > 0 || schema.description === undefined
      ? null
      : el('p', { class: 'about' }, prose(schema.description));
  return el('div', {}, about, el('div', { class: 'fields' }, ...rows));
}

function variantView(given, depth) {
  const schema = resolve(given);
  const details = el(
    'details',
    { class: 'field' },
    el('summary', {}, el('code', {}, schema.title?.split('.')[1] ?? typeText(schema))),
  );
  return lazily(details, () => schemaView(schema, depth + 1)).details;
}

function copyable(text) {
  const button = el('button', { type: 'button' }, 'Copy');
  button.addEventListener('click', async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = 'Copied';
  });
  return el('pre', {}, text, button);
}

/** In single quotes for a shell. */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function curlOf(method, path, operation) {
  const workspace = byId('workspace').value.trim();
  const prefix = workspace === '' ? '' : `/${encodeURIComponent(workspace)}`;
  const address = new URL(`.${prefix}${path}`, document.baseURI).href;
  const lines = [`curl -i -X ${method.toUpperCase()} ${quoted(decodeURI(address))}`];
  // Never the token itself: what is copied here ends up in files.
  if (token !== null) lines.push('-H "Kong-Admin-Token: $TOKEN"');
  const json = operation.requestBody?.content?.['application/json'];
  if (json !== undefined) {
    lines.push("-H 'Content-Type: application/json'");
    lines.push(`-d ${quoted(JSON.stringify(json.example ?? {}))}`);
  }
  return lines.join(' \\\n  ');
}

function parametersView(parameters) {
  if (parameters.length === 0) return [];
  const rows = parameters.map(resolve).map((parameter) =>
    fieldView(
      `${parameter.in === 'path' ? `{${parameter.name}}` : parameter.name}`,
      {
        ...resolve(parameter.schema),
        description: `${parameter.description} In the ${parameter.in}.`,
      },
      parameter.in === 'path',
      1,
    ),
  );
  return [el('h3', {}, 'Parameters'), el('div', { class: 'fields' }, ...rows)];
}

function bodyView(body) {
  if (body === undefined) return [];
  const types = Object.keys(body.content);
  const media = body.content['application/json'] ?? body.content[types[0]];
  const example =
    media.example === undefined ? null : copyable(JSON.stringify(media.example, null, 2));
  const view = el('details', {}, el('summary', {}, 'Members'));
  return [
    el('h3', {}, 'Body ', el('span', { class: 'type' }, types.join(', '))),
    body.description === undefined ? null : el('p', {}, prose(body.description)),
    example,
    lazily(view, () => schemaView(media.schema)).details,
  ];
}

function responsesView(responses) {
  const rows = Object.entries(responses).map(([status, given]) => {
    const response = resolve(given);
    const schema = Object.values(response.content ?? {})[0]?.schema;
    const line = [
      el('code', {}, status),
      ' ',
      el('span', { class: 'about' }, prose(response.description)),
    ];
    if (schema === undefined) return el('div', { class: 'field' }, ...line);
    const details = el('details', { class: 'field' }, el('summary', {}, ...line));
    return lazily(details, () => schemaView(schema)).details;
  });
  return [el('h3', {}, 'Answers'), el('div', { class: 'fields' }, ...rows)];
}

function operationView(path, method, item) {
  const operation = item[method];
  const summary = el(
    'summary',
    {},
    el('span', { class: `method ${method}` }, method.toUpperCase()),
    el('span', { class: 'path' }, path),
    el('span', { class: 'summary' }, operation.summary),
  );
  const details = el('details', { class: 'operation', id: operation.operationId }, summary);
  details.dataset.words = `${method} ${path} ${operation.summary}`.toLowerCase();
  return lazily(details, () =>
    el(
      'div',
      {},
      operation.description === undefined ? null : el('p', {}, prose(operation.description)),
      el('h3', {}, 'Try it'),
      copyable(curlOf(method, path, operation)),
      parametersView([...(item.parameters ?? []), ...(operation.parameters ?? [])]),
      bodyView(operation.requestBody),
      responsesView(operation.responses),
    ),
  ).details;
}

/** Collections before what lies under them. */
function byDepth([a], [b]) {
  return a.split('/').length - b.split('/').length || (a < b ? -1 : 1);
}

function draw() {
  byId('version').textContent = shown.info.version;
  const paths = Object.entries(shown.paths).toSorted(byDepth);
  const sections = shown.tags.map(({ name }) => {
    const operations = paths.flatMap(([path, item]) =>
      METHODS.filter((method) => item[method]?.tags.includes(name)).map((method) =>
        operationView(path, method, item),
      ),
    );
    return el('section', {}, el('h2', { id: `tag-${name}` }, name), ...operations);
  });
  byId('main').replaceChildren(...longProse(shown.info.description), ...sections);
  byId('tags').replaceChildren(
    ...shown.tags.map(({ name }) => el('a', { href: `#tag-${name}` }, name)),
  );
  find();
  openNamed();
}

/** Hides what has not all the words. */
function find() {
  const words = byId('find')
    .value.toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '');
  for (const section of document.querySelectorAll('main section')) {
    let isEmpty = true;
    for (const operation of section.querySelectorAll('.operation')) {
      const fits = words.every((word) => operation.dataset.words.includes(word));
      operation.hidden = !fits;
      if (fits) isEmpty = false;
    }
    section.hidden = isEmpty;
  }
}

/** Opens the operation that the address names. */
function openNamed() {
  const target = byId(decodeURIComponent(location.hash.slice(1)));
  if (target === null) return;
  if (target.matches('.operation')) target.open = true;
  target.scrollIntoView();
}

async function load() {
  const headers = token === null ? {} : { 'Kong-Admin-Token': token };
  const response = await fetch('openapi.json', { headers });
  const isIn = response.ok;
  byId('login').hidden = isIn;
  byId('columns').hidden = !isIn;
  if (!isIn) {
    const answer = await response.json().catch(() => ({}));
    byId('refusal').textContent =
      token === null ? '' : (answer.message ?? `Status ${response.status}`);
    byId('token').focus();
    return;
  }
  shown = await response.json();
  draw();
}

byId('login').addEventListener('submit', (event) => {
  event.preventDefault();
  token = byId('token').value;
  void start();
});
byId('find').addEventListener('input', find);
byId('workspace').addEventListener('change', () => shown !== null && draw());
addEventListener('hashchange', openNamed);

async function start() {
  try {
    await load();
  } catch (error) {
    byId('loading').textContent = `The document cannot be read: ${error.message}`;
  }
}

void start();
