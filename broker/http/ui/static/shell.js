/** What stands around every page: the top bar, the navigation, and the banner of an error. */

import { Refusal, address, send, session } from './api.js';
import { h } from './dom.js';
import { offset, span } from './format.js';
import { help } from './keys.js';
import { pause } from './live.js';
import { logo } from './parts.js';
import { choices, nextTheme, switchZone } from './state.js';

const PLACES = [
  ['', 'Overview', 'M2 9h3V4H2zM6.5 9h3V2h-3zM11 9h3V6h-3zM1.5 12.5h13'],
  ['groups', 'Groups', 'M2 3.5h12M2 8h12M2 12.5h12'],
  ['workers', 'Workers', 'M3 3h10v7H3zM6 13h4M8 10v3'],
  ['bulk', 'Bulk', 'M2.5 5.5l3-3h8v8l-3 3h-8zM2.5 5.5h8v8M10.5 5.5l3-3'],
  ['docs', 'Docs', 'M3 2.5h7l3 3v8H3zM5.5 7h5M5.5 10h5'],
  ['settings', 'Settings', 'M2 4.5h6M12 4.5h2M10 2.5v4M2 11.5h2M8 11.5h6M6 9.5v4'],
];

/** @param {string} path @param {string} to */
const isHere = (path, to) => (to === '' ? path === '' : path === to || path.startsWith(`${to}/`));

/** @param {string} path */
function navigation(path) {
  return h(
    'nav.nav',
    { 'aria-label': 'Pages' },
    PLACES.map(([to, word, drawn]) =>
      h(
        'a',
        { href: `ui/${to}`, 'aria-current': isHere(path, to) ? 'page' : null },
        h('svg', { viewBox: '0 0 16 16', class: 'nav-icon', 'aria-hidden': 'true' }, h('path', { d: drawn })),
        h('span', word),
      ),
    ),
  );
}

/** @param {{go: (path: string) => void}} actions */
function finder(actions) {
  const onSubmit = (event) => {
    event.preventDefault();
    const input = document.getElementById('find');
    const text = input.value.trim();
    if (text) actions.go(`ui/find?q=${encodeURIComponent(text)}`);
    input.blur();
  };
  return h(
    'form.finder',
    { role: 'search', 'data-keep': 'finder', onSubmit },
    h('input', {
      id: 'find',
      type: 'search',
      placeholder: 'Find a job or group',
      'aria-label': 'Find a job by its id, or a group by its name',
      autocomplete: 'off',
      spellcheck: 'false',
      enterkeyhint: 'search',
    }),
    h('kbd', { 'aria-hidden': 'true' }, '/'),
  );
}

/** How fresh the page is, and the switch of it. @param {Record<string, import('./live.js').Source>} sources @param {() => void} onClick */
function freshness(sources, onClick) {
  const first = Object.values(sources)[0];
  if (!first) return null;
  const [kind, word] = pause.isOn
    ? ['paused', 'paused']
    : first?.error
      ? first.error.status === 404
        ? ['polls', 'no data']
        : ['lost', 'no data']
      : first?.isLive
        ? ['live', 'live']
        : first?.at
          ? ['polls', `${span(Math.floor((Date.now() - first.at) / 1000))} ago`]
          : ['polls', 'loading'];
  return h(
    'button',
    {
      class: `fresh ${kind}`,
      onClick,
      'aria-pressed': pause.isOn ? 'true' : 'false',
      'aria-label': pause.isOn ? 'Resume the live view' : 'Pause the live view',
      title: pause.isOn ? 'Resume the live view (.)' : 'Pause the live view (.)',
    },
    h('i', { 'aria-hidden': 'true' }),
    h('span', word),
  );
}

async function logout() {
  await send('POST', 'ui/logout');
  location.assign(address('ui/login'));
}

/** @param {{redraw: () => void}} actions */
function menu(actions) {
  const zone = choices.isUtc ? 'UTC' : `UTC${offset(new Date())}`;
  const onClick = (act) => () => {
    act();
    actions.redraw();
  };
  return h(
    'div.tools',
    null,
    h(
      'button',
      { class: 'tool', title: 'Show times in the local zone or in UTC', onClick: onClick(switchZone) },
      h('span.vh', 'Time zone: '),
      choices.isUtc ? 'UTC' : zone,
    ),
    h(
      'button',
      { class: 'tool', title: 'Colours: of the system, light or dark', onClick: onClick(nextTheme) },
      h('span.vh', 'Colours: '),
      { system: 'Auto', light: 'Light', dark: 'Dark' }[choices.theme] ?? 'Auto',
    ),
    visitor(),
  );
}

/** Who is there, and what they may do. */
function visitor() {
  const scopes = session.scopes.includes('admin') ? 'admin' : session.scopes.join(', ');
  const may = session.ui === 'read' ? 'These pages only read.' : `may: ${scopes || 'nothing'}`;
  return h(
    'details.who',
    h('summary.tool', h('bdi', session.name || 'open')),
    h(
      'div.who-box',
      h('p', session.name ? h('bdi', session.name) : 'This broker asks for no token.', h('br'), h('span.muted', may)),
      session.groups && !session.groups.includes('*') && h('p.muted', `groups: ${session.groups.join(', ')}`),
      h('button.button', { onClick: help }, 'Keyboard'),
      session.name && h('button.button', { onClick: logout }, 'Log out'),
    ),
  );
}

/** @param {{path: string, main: any, sources: Record<string, any>, actions: {togglePause: () => void, redraw: () => void, go: (path: string) => void}}} props */
export function shell({ path, main, sources, actions }) {
  const version = document.querySelector('meta[name=titan-version]')?.getAttribute('content') ?? '';
  const skip = () => document.querySelector('main h1')?.focus();
  if (path === 'login') return h('div', { id: 'app', key: 'login', class: 'bare' }, h('main', { id: 'main' }, main));
  return h(
    'div',
    { id: 'app', key: 'app' },
    h(
      'header.top',
      h('button.skip', { onClick: skip }, 'Skip to the page'),
      h('a', { class: 'logo', href: 'ui/', title: `Titan ${version}` }, logo()),
      navigation(path),
      finder(actions),
      freshness(sources, actions.togglePause),
      menu(actions),
    ),
    h('main', { id: 'main' }, main),
  );
}

const HELPS = {
  unreachable: 'It may be restarting. This page tries again by itself.',
  slow: 'This page keeps trying.',
  store_unavailable: 'The broker runs, but its store does not answer. This page tries again by itself.',
};

/** What is wrong, and how old the data below is. @param {Refusal} error @param {import('./live.js').Source | undefined} source @param {string} [needs] */
export function problemBanner(error, source, needs = 'read') {
  const age = source?.data !== undefined && source.at ? ` What you see is ${span((Date.now() - source.at) / 1000)} old.` : '';
  const text = error.status === 403 && error.code === 'forbidden' ? `${error.message} It needs the scope ${needs}.` : error.message;
  return h(
    'div.banner',
    { key: 'banner' },
    h('div', { role: 'alert' }, h('code', error.code || error.name), ' ', text, ' ', HELPS[error.code] ?? ''),
    h('span.muted', age),
  );
}
