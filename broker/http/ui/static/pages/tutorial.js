/** The tutorial: tutorial.md of the broker, with the broker's own address in its commands. */

import { h, hold } from '../dom.js';
import { markdown } from '../markdown.js';

const BASE = new URL('../tutorial/', import.meta.url).href;

export function tutorial(context) {
  return {
    title: 'Tutorial',
    sources: { main: { url: `${BASE}tutorial.md` } },
    view: ({ main }) => {
      if (main) context.state.drawn ??= drawn(main);
      const { title, element } = context.state.drawn ?? { title: 'Tutorial' };
      return [h('div.page-head', h('h1', { tabindex: -1 }, title)), element && hold(element)];
    },
  };
}

/** @param {string} source */
function drawn(source) {
  const { title, body } = markdown(source, BASE);
  return { title, element: h('div.tutorial', body) };
}
