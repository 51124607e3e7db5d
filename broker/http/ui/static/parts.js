/** The small parts that all pages are made of. */

import { address, now } from './api.js';
import { h } from './dom.js';
import { clock, exact, moment, ms, short, span } from './format.js';
import { choices } from './state.js';

const SHAPES = {
  delayed: [h('circle', { cx: 6, cy: 6, r: 4.6 }), h('path', { d: 'M6 3.4V6l1.8 1.2' })],
  queued: [h('path', { d: 'M1.5 2.8h9M1.5 6h9M1.5 9.2h5.5' })],
  running: [h('path.solid', { d: 'M3 1.6v8.8L10.4 6z' })],
  succeeded: [h('path', { d: 'M1.6 6.4l3 3 5.8-6.6' })],
  failed: [h('path', { d: 'M2.2 2.2l7.6 7.6M9.8 2.2L2.2 9.8' })],
  cancelled: [h('circle', { cx: 6, cy: 6, r: 4.6 }), h('path', { d: 'M2.8 9.2l6.4-6.4' })],
  paused: [h('path', { d: 'M4 2v8M8 2v8' })],
  warn: [h('path', { d: 'M6 1.4L11 10.4H1z' }), h('path', { d: 'M6 4.8v2.4M6 8.7v.2' })],
  ok: [h('path', { d: 'M1.6 6.4l3 3 5.8-6.6' })],
};

const AS = { working: 'running', quiet: 'paused', draining: 'delayed', stopped: 'cancelled', done: 'succeeded', wrong: 'failed', unknown: 'queued' };

/** A sign of 12 px: its shape says the same as the word beside it. @param {string} name */
export function icon(name) {
  const key = name in SHAPES ? name : (AS[name] ?? 'queued');
  const drawn = SHAPES[key].map((shape) => shape.cloneNode(true));
  return h('svg', { class: `icon is-${key}`, viewBox: '0 0 12 12', 'aria-hidden': 'true' }, drawn);
}

/** A status: sign, word and colour. @param {string} status @param {string} [word] */
export const badge = (status, word = status) => h('span.badge', icon(status), h('span', word));

/** A number that is short, with the exact one for the mouse and for a screen reader. @param {number | undefined} n */
export function num(n) {
  if (n === undefined || n === null) return h('span.muted', '–');
  const text = short(n);
  if (text === exact(n)) return h('span', { class: n ? 'num' : 'num zero' }, text);
  return h('span.num', { title: exact(n) }, h('span', { 'aria-hidden': 'true' }, text), h('span.vh', exact(n)));
}

/** A moment: the time of day, exact and with its zone in the title. @param {string | number | undefined} at */
export function when(at) {
  if (!at) return h('span.muted', '–');
  const time = ms(at);
  const title = `${moment(time, choices.isUtc)}\n${moment(time, !choices.isUtc)}`;
  return h('time', { datetime: new Date(time).toISOString(), title }, clock(time, choices.isUtc, now()));
}

/** How long ago, the moment in the title. @param {string | number | undefined} at */
export function ago(at) {
  if (!at) return h('span.muted', '–');
  const time = ms(at);
  return h('time', { datetime: new Date(time).toISOString(), title: moment(time, choices.isUtc) }, `${span(Math.max(0, Math.floor((now() - time) / 1000)))} ago`);
}

/** @param {string} label @param {(event: any) => void} onClick @param {Record<string, any>} [props] */
export const button = (label, onClick, props = {}) => h('button', { class: 'button', onClick, ...props }, label);

/** A small one. @param {string} label @param {(event: any) => void} onClick @param {Record<string, any>} [props] */
export const small = (label, onClick, props) => button(label, onClick, { class: 'button small', ...props });

/** @param {string} label @param {string} href @param {Record<string, any>} [props] */
export const link = (label, href, props = {}) => h('a.button', { href, ...props }, label);

/** The statuses of finished jobs. */
export const ENDS = ['succeeded', 'failed', 'cancelled'];
/** All statuses of jobs, in the order in which they are shown. */
export const STATUSES = ['delayed', 'queued', 'running', ...ENDS];

/** A part of a page with a heading. @param {string} title @param {Record<string, any>} [props] */
export function panel(title, body, side, props = {}) {
  return h('section', { ...props, class: `panel ${props.class ?? ''}` }, h('header.panel-head', h('h2', title), side && h('div.side', side)), body);
}

/** A label over a field. @param {string} label @param {string} [kind] */
export function field(label, control, hint, kind = '') {
  return h('label', { class: `field ${kind}` }, h('span.label', label), control, hint && h('span.hint', hint));
}

/** @param {string} name @param {[string, string][]} options @param {string} value @param {Record<string, any>} [props] */
export function select(name, options, value, props = {}) {
  return h(
    'select',
    { name, ...props },
    options.map(([key, label]) => h('option', { value: key, selected: key === value }, label)),
  );
}

/** What a page shows where there is nothing. @param {string} title @param {...any} body */
export const empty = (title, ...body) => h('div.empty', h('p.empty-title', title), body);

/** A text that others wrote, shown as it is and kept from turning the text beside it. @param {string} [kind] */
export const theirs = (text, kind = '') => h('bdi', { class: kind }, text);

/** @param {[any, any][]} rows */
export function facts(rows) {
  return h(
    'dl.facts',
    rows.filter(Boolean).map(([name, value]) => h('div', h('dt', name), h('dd', value))),
  );
}

/** The zone of the browser, in which its fields for times are. */
export const zoneName = Intl.DateTimeFormat().resolvedOptions().timeZone;

/** A bar of how much is done. @param {number} done @param {number} of @param {string} label */
export function progress(done, of, label) {
  return h('progress', { max: Math.max(1, of), value: Math.min(done, Math.max(1, of)), 'aria-label': label });
}

/** A code block with a button that copies it. @param {string} text @param {string} [label] */
export function code(text, label = 'Copy') {
  return h(
    'div.code',
    h('pre', { tabindex: 0 }, text),
    small(label, (event) => copy(text, event.currentTarget)),
  );
}

/** Copy a text, and say so on the button. @param {string} text @param {HTMLElement} [from] */
export async function copy(text, from) {
  let isDone = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    isDone = false; // no clipboard without https: select it, so that Ctrl-C does
    const shown = from?.parentElement?.querySelector('pre, code');
    if (shown) getSelection()?.selectAllChildren(shown);
  }
  if (!from) return;
  const was = from.textContent;
  from.textContent = isDone ? 'Copied' : 'Press Ctrl-C';
  setTimeout(() => (from.textContent = was), 1500);
}

/** The sign and the name. */
export const logo = () => [
  h('svg', { viewBox: '0 0 16 16', 'aria-hidden': 'true' }, h('rect', { width: 16, height: 16, rx: 4 }), h('path', { d: 'M4 5h8M8 5v7M4 8.5h2M10 8.5h2' })),
  h('span', 'Titan'),
];

/** @param {string} group */
export const groupPage = (group) => `ui/groups/${encodeURIComponent(group)}`;
/** @param {string} group @param {string} id */
export const jobPage = (group, id) => `${groupPage(group)}/jobs/${encodeURIComponent(id)}`;
/** @param {string} group @param {string} id */
export const batchPage = (group, id) => `${groupPage(group)}/batches/${encodeURIComponent(id)}`;
/** @param {string} group @param {string} name */
export const schedulePage = (group, name) => `${groupPage(group)}/schedules/${encodeURIComponent(name)}`;

/** Where a page of a group is. `part`: the list of the group in which it stands, such as Batches. @param {string} group @param {string} [part] */
export const crumbs = (group, part) =>
  h(
    'p.crumbs',
    h('a', { href: 'ui/groups' }, 'Groups'),
    ' / ',
    h('a', { href: groupPage(group) }, theirs(group)),
    part && [' / ', h('a', { href: `${groupPage(group)}/${part.toLowerCase()}` }, part)],
  );

/** A link to what the API has of it. @param {string} path */
export const rawJson = (path) => h('a.button', { href: address(path).href, target: '_blank', rel: 'noopener' }, 'Raw JSON');
