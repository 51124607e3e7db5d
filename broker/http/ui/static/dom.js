/** Elements, made by one function and kept up to date by another. No markup is ever parsed from a text. */

const SVG = 'http://www.w3.org/2000/svg';
const SHAPES = new Set(['svg', 'path', 'rect', 'circle', 'line', 'polyline', 'polygon', 'g', 'desc', 'foreignObject']);

/** What an element has unless it is given; a table says what it is, since a phone shows it as cards. */
const DEFAULTS = {
  button: { type: 'button' },
  h1: { tabindex: -1 },
  table: { role: 'table' },
  thead: { role: 'rowgroup' },
  tbody: { role: 'rowgroup' },
  tr: { role: 'row' },
  td: { role: 'cell' },
};

/** @typedef {Element & {heard?: Record<string, (event: any) => void>}} Heard */
/** @typedef {Node | string | number | null | undefined | false | Child[]} Child */

/** @param {Event} event */
function hear(event) {
  const target = event.currentTarget;
  target.heard?.[event.type]?.(event);
}

/** @param {Heard} element @param {string} name */
function put(element, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name.startsWith('on')) {
    const type = name.slice(2).toLowerCase();
    element.heard = { ...element.heard, [type]: value };
    element.addEventListener(type, hear);
  } else if (name === 'style' || name === 'srcdoc') {
    throw new TypeError(`h: ${name} is not allowed`);
  } else {
    element.setAttribute(name === 'key' ? 'data-key' : name, value === true ? '' : String(value));
  }
}

/** @param {Node} parent @param {Child[]} children */
function fill(parent, children) {
  for (const child of children) {
    if (Array.isArray(child)) fill(parent, child);
    else if (child instanceof Node) parent.appendChild(child);
    else if (child !== null && child !== undefined && child !== false) parent.appendChild(document.createTextNode(String(child)));
  }
}

/**
 * An element: `tag.class`, properties, children. The properties may be left out. `on…` are listeners, `key` tells
 * siblings apart, and an element with `data-keep` is left as it is while that value stays the same. Texts become text, whatever they hold.
 * @param {string} tag @param {Record<string, any> | Child} [props] @param {...Child} children
 */
export function h(tag, props, ...children) {
  const [name, ...classes] = tag.split('.');
  const element = SHAPES.has(name) ? document.createElementNS(SVG, name) : document.createElement(name);
  const isProps = props && Object.getPrototypeOf(props) === Object.prototype;
  if (classes.length) element.setAttribute('class', classes.join(' '));
  for (const [key, value] of Object.entries({ ...DEFAULTS[name], ...(isProps ? props : {}) })) put(element, key, value);
  fill(element, isProps ? children : [props, ...children]);
  if (name === 'textarea' && props?.value) element.append(props.value);
  return element;
}

/**
 * A place for an element that keeps its own state, such as a log: it is put there and never drawn anew.
 * @param {Element} element
 */
export function hold(element) {
  const place = h('div', { 'data-hold': '' });
  place.held = element;
  return place;
}

/** Put what is held into its places. */
export function settle(root) {
  if (root.held) {
    root.replaceWith(root.held);
    return root.held;
  }
  for (const place of root.querySelectorAll?.('[data-hold]') ?? []) place.replaceWith(place.held);
  return root;
}

function alike(old, next) {
  if (next.held) return old === next.held;
  return old.nodeName === next.nodeName && old.dataset?.key === next.dataset?.key && old.dataset?.keep === next.dataset?.keep;
}

function copyAttributes(old, next) {
  const was = old.getAttribute('value');
  for (const { name } of [...old.attributes]) {
    if (!next.hasAttribute(name) && !(name === 'open' && old.nodeName === 'DETAILS')) old.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  if (old.nodeName === 'INPUT') {
    if (old.checked !== next.checked) old.checked = next.checked;
    if (was !== next.getAttribute('value') && old !== document.activeElement) old.value = next.value;
  }
}

function copyChildren(old, next) {
  const keyed = new Map();
  const rest = [];
  for (const child of [...old.childNodes]) {
    if (child.dataset?.key) keyed.set(child.dataset.key, child);
    else rest.push(child);
  }
  const take = (child) => {
    const place = child.dataset?.key ? keyed.get(child.dataset.key) : rest.find((each) => alike(each, child));
    if (!place || !alike(place, child)) return [child, null];
    if (child.dataset?.key) keyed.delete(child.dataset.key);
    else rest.splice(rest.indexOf(place), 1);
    return [child, place];
  };
  const taken = [...next.childNodes].map(take);
  for (const child of [...rest, ...keyed.values()]) child.remove(); // first, since an element that is moved loses the focus
  let at = old.firstChild;
  for (const [child, place] of taken) {
    if (place === null) {
      old.insertBefore(child, at);
      settle(child);
    } else {
      if (place === at) at = at.nextSibling;
      else old.insertBefore(place, at);
      morph(place, child);
    }
  }
}

/**
 * Make `old` look like `next`, and keep what a person has there: focus, selection, scroll place, open details.
 * the node that is in the document now
 */
export function morph(old, next) {
  if (!alike(old, next)) {
    old.replaceWith(next);
    return settle(next);
  }
  if (next.held) return old;
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== next.data) old.data = next.data;
    return old;
  }
  if (old.dataset?.keep) return old;
  copyAttributes(old, next);
  for (const type of Object.keys(next.heard ?? {})) {
    if (!old.heard?.[type]) old.addEventListener(type, hear);
  }
  old.heard = next.heard;
  if (old.nodeName === 'SELECT') {
    const chosen = old.value;
    copyChildren(old, next);
    if (document.activeElement === old) old.value = chosen;
  } else if (old.nodeName !== 'TEXTAREA') {
    copyChildren(old, next);
  }
  return old;
}

/** The element in `root` that matches. @param {string} selector */
export const find = (selector, root = document) => root.querySelector(selector);
