/** What a page of the documentation does with a script: search, copy, the choice of a language, the theme. Without it the page reads as well. */

import { Index } from './docs_search.js';
import { applyTheme, choices, nextTheme } from './state.js';

/** The broker's address in the texts; it becomes the address of this one. */
const WRITTEN = 'http://127.0.0.1:8080';
const LANGUAGE = 'titan.language';
const LABELS = { sh: 'curl', console: 'Shell', python: 'Python', 'javascript': 'JavaScript', go: 'Go', ruby: 'Ruby' };

/** @param {string} name @param {Record<string, string>} attributes @param {...any} children */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** Put this broker's address in the place of the written one. */
function ownAddress() {
  const here = new URL('..', location.href).href.replace(/\/$/, '');
  const walker = document.createTreeWalker(document.querySelector('.paper'), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (node.data.includes(WRITTEN)) node.data = node.data.replaceAll(WRITTEN, here);
  }
}

/** The commands of a session, or all of the text. @param {Element} figure */
function copied(figure) {
  const commands = [...figure.querySelectorAll('kbd')].map((each) => each.textContent);
  return commands.length ? commands.join('\n') : figure.querySelector('pre').textContent;
}

/** @param {Element} figure */
function addCopy(figure) {
  const button = make('button', { class: 'copy', type: 'button' }, 'Copy');
  button.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(copied(figure));
      button.textContent = 'Copied';
    } catch {
      getSelection().selectAllChildren(figure.querySelector('pre'));
      button.textContent = 'Selected';
    }
    setTimeout(() => (button.textContent = 'Copy'), 2000);
  });
  figure.append(button);
}

/** @param {string} [chosen] */
function language(chosen) {
  try {
    if (chosen) localStorage.setItem(LANGUAGE, chosen);
    return localStorage.getItem(LANGUAGE) ?? '';
  } catch {
    return chosen ?? ''; // storage is off: this page alone remembers
  }
}

/** Show the blocks of one language. A group that does not have it shows its first. @param {string} wanted */
function show(wanted) {
  for (const group of document.querySelectorAll('.choices')) {
    const figures = [...group.querySelectorAll('.code')];
    const shown = figures.find((each) => each.dataset.language === wanted) ?? figures[0];
    for (const figure of figures) figure.hidden = figure !== shown;
    for (const button of group.querySelectorAll('.languages button'))
      button.setAttribute('aria-pressed', String(button.dataset.language === shown.dataset.language));
  }
}

/** @param {Element} group */
function addLanguages(group) {
  const figures = [...group.querySelectorAll('.code')];
  if (figures.length < 2) return;
  const buttons = figures.map(({ dataset }) => {
    const button = make('button', { type: 'button', 'data-language': dataset.language }, LABELS[dataset.language] ?? dataset.language);
    button.addEventListener('click', () => show(language(dataset.language) || dataset.language));
    return button;
  });
  group.prepend(make('div', { class: 'languages', role: 'group', 'aria-label': 'Language' }, ...buttons));
}

/** The buttons at the right of the bar. */
function addTools() {
  const words = { system: 'Auto', light: 'Light', dark: 'Dark' };
  const theme = make('button', { class: 'tool', type: 'button', title: 'Colours: of the system, light or dark' });
  const label = () => theme.replaceChildren(make('span', { class: 'vh' }, 'Colours: '), words[choices.theme] ?? 'Auto');
  theme.addEventListener('click', () => {
    nextTheme();
    label();
  });
  label();
  const print = make('button', { class: 'tool print', type: 'button' }, 'Print');
  print.addEventListener('click', () => window.print());
  document.querySelector('.tools').append(theme, print);
}

/** The text around the first word, with the words marked. @param {{text: string}} entry @param {string[]} words */
function piece({ text }, words) {
  const at = Math.max(0, ...words.map((word) => text.toLowerCase().indexOf(word)).filter((each) => each >= 0).slice(0, 1));
  const from = at > 60 ? text.indexOf(' ', at - 50) + 1 : 0;
  const cut = `${from ? '… ' : ''}${text.slice(from, from + 150)}${text.length > from + 150 ? ' …' : ''}`;
  const pattern = new RegExp(`(${words.map((word) => word.replace(/[^\w\s]/g, '\\$&')).join('|')})`, 'i');
  return cut.split(pattern).map((part, odd) => (odd % 2 ? make('mark', {}, part) : part));
}

/** @param {any} entry @param {string[]} words */
function row(entry, words) {
  const href = `${entry.page === 'index' ? './' : entry.page}${entry.anchor ? `#${entry.anchor}` : ''}`;
  const where = entry.anchor ? make('span', { class: 'where' }, ` · ${entry.title}`) : '';
  return make('a', { href }, make('b', {}, entry.heading), where, make('span', { class: 'piece' }, ...piece(entry, words)));
}

function addSearch() {
  const form = document.querySelector('.finder');
  const input = document.getElementById('docs-search');
  const list = document.querySelector('.found');
  const index = new Index('search.json');
  form.hidden = false;
  const draw = async () => {
    const asked = input.value;
    const { words, entries } = await index.find(asked);
    if (asked !== input.value) return;
    const none = words.length ? [make('p', {}, index.problem || 'Nothing has all of these words.')] : [];
    list.replaceChildren(...(entries.length ? entries.map((entry) => row(entry, words)) : none));
  };
  input.addEventListener('input', draw);
  input.addEventListener('focus', () => index.load());
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    list.querySelector('a')?.click();
  });
  const close = () => list.replaceChildren();
  list.addEventListener('click', close);
  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') close();
    if (event.key !== '/' || event.ctrlKey || event.metaKey || event.target.matches('input, textarea')) return;
    event.preventDefault();
    input.focus();
  });
  document.addEventListener('click', (event) => {
    if (!list.contains(event.target) && !form.contains(event.target)) close();
  });
}

applyTheme();
ownAddress();
document.querySelectorAll('.paper .code').forEach(addCopy);
document.querySelectorAll('.choices').forEach(addLanguages);
show(language());
addTools();
addSearch();
