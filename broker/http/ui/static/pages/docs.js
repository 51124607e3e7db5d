/** The reference of the HTTP API, made from openapi.json, with each call in three languages. */

import { root } from '../api.js';
import { h } from '../dom.js';
import { button, code, panel } from '../parts.js';
import { examples, plain, range, typeName } from '../spec.js';

const METHODS = ['get', 'post', 'put', 'patch', 'delete'];
const ORDER = [
  ['Jobs', /^\/v1\/groups\/\{group_name\}\/jobs/],
  ['Delivery', /^\/v1\/jobs/],
  ['Groups', /^\/v1\/groups/],
  ['Workers', /^\/v1\/workers/],
  ['Operation', /^\/v1\//],
  ['Health and metrics', /./],
];

export function docs(context) {
  return {
    title: 'Docs',
    sources: { main: { url: 'v1/openapi.json' } },
    view: ({ main }) => [
      h(
        'div.page-head',
        h('h1', 'HTTP reference'),
        h('a', { href: 'docs/' }, 'Documentation'),
        h('a', { href: 'ui/tutorial' }, 'Tutorial'),
        main && h('span.muted', `version ${main.info.version} · `, h('a', { href: `${root.pathname}v1/openapi.json`, target: '_self' }, 'openapi.json')),
      ),
      main && body(context, main),
    ],
  };
}

/** Calls by chapter. */
export function chapters(spec) {
  const found = ORDER.map(([title]) => ({ title, calls: [] }));
  for (const [path, calls] of Object.entries(spec.paths)) {
    const place = ORDER.findIndex(([, pattern]) => pattern.test(path));
    for (const method of METHODS) if (calls[method]) found[place].calls.push({ method, path, call: calls[method] });
  }
  return found.filter(({ calls }) => calls.length);
}

function body(context, spec) {
  const wanted = (context.state.wanted ?? '').toLowerCase();
  const onInput = (event) => {
    context.state.wanted = event.target.value;
    context.update();
  };
  const isWanted = (each) => `${each.method} ${each.path} ${each.call.summary} ${each.call.operationId}`.toLowerCase().includes(wanted);
  return [
    h(
      'div.filters',
      h('input', { type: 'search', name: 'wanted', 'data-keep': 'wanted', placeholder: 'Filter the calls', 'aria-label': 'Filter the calls', onInput }),
    ),
    h(
      'div.chapters',
      chapters(spec).map(({ title, calls }) => {
        const some = calls.filter(isWanted);
        return (
          some.length > 0 &&
          panel(
            title,
            h(
              'ul.calls',
              some.map((each) => row(context, spec, each)),
            ),
          )
        );
      }),
    ),
    panel('Refusals', [h('p.prose', words(spec.info.description.split('\n\n')[1] ?? '')), errors(spec)]),
  ];
}

function errors(spec) {
  const lines = spec.info.description
    .split('\n')
    .map((text) => /^- (\d+) `(\w+)`: (.*)$/.exec(text))
    .filter(Boolean);
  return h(
    'dl.facts.errors',
    lines.map(([, status, word, text]) => h('div', h('dt', status, ' ', h('code', word)), h('dd', words(text)))),
  );
}

function row(context, spec, { method, path, call }) {
  const key = `${method} ${path}`;
  const { state } = context;
  state.open ??= new Set(context.query.get('call') ? [context.query.get('call')] : []);
  const isOpen = state.open.has(key);
  const onToggle = (event) => {
    if (event.target !== event.currentTarget || event.currentTarget.open === state.open.has(key)) return;
    event.currentTarget.open ? state.open.add(key) : state.open.delete(key);
    context.update();
  };
  return h(
    'li',
    { key },
    h(
      'details.call',
      { open: isOpen, onToggle },
      h('summary', h('span', { class: `verb verb-${method}` }, method.toUpperCase()), h('code.path', path), h('span.muted', call.summary)),
      isOpen && detail(context, spec, method, path, call),
    ),
  );
}

/** @param {string} method @param {string} path */
function detail(context, spec, method, path, call) {
  const content = Object.entries(call.requestBody?.content ?? {});
  const answers = Object.entries(call.responses);
  const good = answers.find(([status]) => status < '300');
  const schema = Object.values(good?.[1]?.content ?? {})[0]?.schema;
  return h(
    'div.call-body',
    h('p.prose', words(call.description ?? '')),
    call.parameters?.length > 0 &&
      fields(
        'Parameters',
        call.parameters.map((each) => [each.name, each.in, spec, each.schema, each.description, each.required]),
      ),
    content.map(([type, each]) => schemaFields(`Body, ${type}`, spec, each.schema)),
    schema && schemaFields(`Answer ${good?.[0]}`, spec, schema),
    h('h3', 'Refusals'),
    h(
      'dl.facts.errors',
      answers.filter(([status]) => status >= '400').map(([status, answer]) => h('div', h('dt', status), h('dd', words(answer.description)))),
    ),
    example(context, spec, method, path),
  );
}

/** Text with `code` in it. @param {string} text */
const words = (text) => text.split('`').map((part, at) => (at % 2 ? h('code', part) : part));

/** @param {string} title @param {any[]} rows */
function fields(title, rows) {
  return [
    h('h3', title),
    h(
      'dl.params',
      rows.map(([name, place, spec, schema, text, isRequired]) =>
        h(
          'div',
          h('dt', h('code', name), isRequired && h('span.required', ' required')),
          h(
            'dd',
            h('span.muted', `${place ? `${place}, ` : ''}${typeName(spec, schema)}. `),
            words(text ?? plain(spec, schema).description ?? ''),
            ' ',
            h('span.muted', range(plain(spec, schema))),
          ),
        ),
      ),
    ),
  ];
}

/** @param {string} title @param {number} [depth] */
function schemaFields(title, spec, schema, depth = 0) {
  const real = plain(spec, schema);
  const names = Object.entries(real.properties ?? {});
  if (!names.length) return depth ? null : [h('h3', title), h('p.muted', real.description ?? typeName(spec, schema))];
  const inner = names
    .map(([, each]) => plain(spec, each))
    .map((each) => (each.type === 'array' ? each.items : each))
    .find((each) => plain(spec, each).properties);
  return [
    fields(
      title,
      names.map(([name, each]) => [name, '', spec, each, each.description, real.required?.includes(name)]),
    ),
    inner && depth < 1 && schemaFields(`Each ${names.length === 1 ? names[0][0].replace(/s$/, '') : 'of them'}`, spec, inner, depth + 1),
  ];
}

/** @param {string} method @param {string} path */
function example(context, spec, method, path) {
  const all = examples(spec, method, path, root.href.replace(/\/$/, ''));
  const chosen = context.state.language ?? 'curl';
  return [
    h('h3', 'Example'),
    h(
      'div.choice',
      Object.keys(all).map((language) =>
        button(
          language,
          () => {
            context.state.language = language;
            context.update();
          },
          { class: '', 'aria-pressed': language === chosen ? 'true' : 'false' },
        ),
      ),
    ),
    code(all[chosen]),
  ];
}
