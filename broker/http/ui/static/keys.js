/** The keyboard: one letter an action, never while somebody types, and a switch to turn it off. */

import { openDialog } from './dialog.js';
import { h } from './dom.js';
import { choices, switchKeys } from './state.js';

const PLACES = {
  o: 'ui/',
  g: 'ui/groups',
  w: 'ui/workers',
  b: 'ui/bulk',
  d: 'ui/docs',
  s: 'ui/settings',
};

const HELP = [
  ['/', 'find a job or a group'],
  ['g then o g w b d s', 'go to Overview, Groups, Workers, Bulk, Docs, Settings'],
  ['j k', 'next and previous row'],
  ['Enter', 'open the row'],
  ['x', 'select the row'],
  ['r c d', 'retry, cancel, delete (it asks first)'],
  ['.', 'pause and resume the live view'],
  ['?', 'this list'],
];

/** @param {EventTarget | null} target */
function isTyping(target) {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.nodeName)) && target.type !== 'checkbox';
}

/** @returns {HTMLElement[]} */
const rows = () => [...document.querySelectorAll('main [data-row]')].map((row) => row);

/** @param {number} step */
function move(step) {
  const all = rows();
  const at = all.findIndex((row) => row.contains(document.activeElement));
  const next = all[at < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + step))];
  const place = next?.querySelector('a') ?? next?.querySelector('input, button');
  place?.focus();
  next?.scrollIntoView({ block: 'nearest' });
}

function select() {
  const row = rows().find((each) => each.contains(document.activeElement));
  /** @type {HTMLElement | null | undefined} */ (row?.querySelector('input[type=checkbox]'))?.click();
}

export function help() {
  openDialog('Keyboard', ({ update }) =>
    h(
      'div',
      null,
      h(
        'dl.keys',
        HELP.map(([key, text]) => h('div', h('dt', h('kbd', key)), h('dd', text))),
      ),
      h(
        'label.check-line',
        h('input', {
          type: 'checkbox',
          checked: choices.hasKeys,
          onChange: () => {
            switchKeys();
            update();
          },
        }),
        ' Keys of one letter are on',
      ),
    ),
  );
}

/**
 * @param {{go: (path: string) => void, togglePause: () => void, page: () => Record<string, () => void> | undefined}} app
 */
export function listen(app) {
  let isGoing = false;
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || document.querySelector('dialog[open]')) return;
    const key = event.key;
    if (!choices.hasKeys && key !== '?') return;
    if (isGoing) {
      isGoing = false;
      if (PLACES[key]) return run(event, () => app.go(PLACES[key]));
    }
    const own = app.page()?.[key];
    if (own) return run(event, own);
    const common = {
      '/': () => document.getElementById('find')?.focus(),
      '?': help,
      '.': app.togglePause,
      j: () => move(1),
      k: () => move(-1),
      x: select,
      g: () => (isGoing = true),
    }[key];
    if (common) run(event, common);
  });
}

/** @param {KeyboardEvent} event @param {() => void} act */
function run(event, act) {
  event.preventDefault();
  act();
}
