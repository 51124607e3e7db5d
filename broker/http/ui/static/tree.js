/** A payload as a tree that makes its branches when they are opened, as text, or raw. */

import { h } from './dom.js';
import { counted } from './format.js';

const STEP = 100;

/** The value of a text that is JSON with something inside, else undefined. @param {string} text */
export function parsed(text) {
  try {
    const value = JSON.parse(text);
    return value !== null && typeof value === 'object' ? value : undefined;
  } catch {
    return undefined; // it is another text
  }
}

function leaf(value) {
  const kind = value === null ? 'null' : typeof value;
  const text = kind === 'string' ? JSON.stringify(value) : String(value);
  const isLong = text.length > 2000;
  return h(
    'bdi',
    { class: `leaf ${kind}` },
    isLong ? `${text.slice(0, 2000)}…` : text,
    isLong && h('span.muted', ` ${counted(text.length, 'character')}, see raw`),
  );
}

const isBranch = (value) => value !== null && typeof value === 'object';

/** @param {string} name @param {boolean} isOpen */
function row(name, value, isOpen) {
  const label = h('span.key-name', h('bdi', name));
  if (!isBranch(value)) return h('li', label, leaf(value));
  const size = Array.isArray(value) ? `[${value.length}]` : `{${Object.keys(value).length}}`;
  const details = h('details', h('summary', label, h('span.muted', size)));
  details.addEventListener('toggle', () => details.open && details.children.length === 1 && details.append(branch(value)));
  if (isOpen) {
    details.append(branch(value));
    details.open = true;
  }
  return h('li', details);
}

/** @param {boolean} [isTop] */
function branch(value, isTop = false) {
  const names = Object.keys(value);
  const list = h('ul.tree');
  let shown = 0;
  const more = h('button.button.small', { onClick: () => add() });
  const add = () => {
    more.remove();
    for (const name of names.slice(shown, shown + STEP)) list.append(row(name, value[name], isTop && names.length <= 8));
    shown += STEP;
    if (shown >= names.length) return;
    more.textContent = `${counted(names.length - shown, 'further entry', 'further entries')}…`;
    list.append(h('li', more));
  };
  add();
  return names.length ? list : h('p.muted', Array.isArray(value) ? '[ ]' : '{ }');
}

export const tree = (value) => h('div.tree-box', branch(value, true));
