/** A page of Markdown as elements: headings, paragraphs, lists, pictures and sessions of a shell. Anything else is shown as text. */

import { root } from './api.js';
import { h } from './dom.js';
import { code, panel } from './parts.js';

/** The broker's address in the texts; it becomes the address of this one. */
const WRITTEN = 'http://127.0.0.1:8080';
/** `code`, *stress* or [a link](to). \x60 is a backtick: one alone in a line would keep the file from being stripped. */
const SPAN = /\x60([^\x60]+)\x60|\*([^*]+)\*|\[([^\]]+)\]\(([^)\s]+)\)/g;
const PICTURE = /^!\[([^\]]*)\]\(([\w-]+\.webp)\)$/;
const WIDTH = 1280;
const HEIGHT = 800;

const here = (text) => text.replaceAll(WRITTEN, root.href.replace(/\/$/, ''));

/** A link leads to a page of this broker, and to nothing else. @param {string} text @param {string} to */
function link(text, to) {
  const path = to.startsWith(`${WRITTEN}/ui/`) ? to.slice(WRITTEN.length + 1) : null;
  return path === null ? text : h('a', { href: path }, text);
}

/** @param {string} text */
function words(text) {
  const found = [];
  let at = 0;
  for (const match of text.matchAll(SPAN)) {
    found.push(here(text.slice(at, match.index)));
    if (match[1]) found.push(h('code', here(match[1])));
    else if (match[2]) found.push(h('em', match[2]));
    else found.push(link(match[3], match[4]));
    at = match.index + match[0].length;
  }
  return [...found, here(text.slice(at))];
}

/** Each command with a button that copies it, and what it prints. @param {string} text */
function session(text) {
  return text
    .split(/^\$ /m)
    .slice(1)
    .map((step) => {
      const [, command, output] = /^([^\n]*(?:\n> [^\n]*)*)\n?([^]*)$/.exec(step);
      const printed = output.trimEnd();
      return h('div.shell', code(here(command.replaceAll('\n> ', '\n'))), printed && h('pre.printed', { tabindex: 0, 'aria-label': 'It prints' }, printed));
    });
}

/** @param {string} text @param {string} base where the pictures are */
function block(text, base) {
  const picture = PICTURE.exec(text);
  if (picture)
    return h('img.picture', { src: new URL(picture[2], base).href, alt: picture[1], width: WIDTH, height: HEIGHT, loading: 'lazy', decoding: 'async' });
  const fence = /^\x60{3}(\w*)\n([^]*?)\n?\x60{3}$/.exec(text);
  if (fence) return fence[1] === 'console' ? session(fence[2]) : code(here(fence[2]));
  if (text.startsWith('- '))
    return h(
      'ul.prose',
      text.split(/\n(?=- )/).map((each) => h('li', words(each.slice(2)))),
    );
  return h('p.prose', words(text));
}

/** The blocks of a part: a fence may have empty lines in it. @param {string} text */
const blocksOf = (text) => text.trim().match(/^\x60{3}[^]*?^\x60{3}$|(?:^(?!\x60{3}).+\n?)+/gm)?.map((each) => each.trim()) ?? [];

/**
 * The title, and a panel for each part. @param {string} source @param {string} base
 * @returns {{title: string, body: any[]}}
 */
export function markdown(source, base) {
  const [head, ...parts] = source.split(/^## /m);
  const [first, ...rest] = head.split('\n');
  const draw = (text) => blocksOf(text).map((each) => block(each, base));
  const drawn = parts.map((part) => {
    const [heading, ...lines] = part.split('\n');
    return panel(heading, h('div.guide', draw(lines.join('\n'))));
  });
  return { title: first.replace(/^# /, ''), body: [h('section.panel', h('div.guide', draw(rest.join('\n')))), drawn] };
}
