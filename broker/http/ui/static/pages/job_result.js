/** What a job made, and how far it is. */

import { may, session } from '../api.js';
import { h } from '../dom.js';
import { isMasked, line } from '../format.js';
import { panel, progress, small, theirs } from '../parts.js';
import { tree } from '../tree.js';

/** The panel with the result of a job; null without one. @param {(context, one) => void} reveal */
export function result(context, one, reveal) {
  const value = context.state.revealedResult ?? one.result;
  if (value === undefined) return null;
  const text = JSON.stringify(value);
  const masked = isMasked(text) && may('admin', one.group_name) && session.csrf ? small('Reveal…', () => reveal(context, one)) : null;
  const body =
    value !== null && typeof value === 'object'
      ? h('div', { 'data-keep': `result${text.length}${context.state.revealedResult !== undefined}` }, tree(value))
      : h('pre.payload', { tabindex: 0 }, h('bdi', typeof value === 'string' ? value : text));
  return panel('Result', body, masked && h('div.choice', masked));
}

/** A bar and the note of a job that said how far it is; null for another one. @param {boolean} isBrief */
export function far(one, isBrief = false) {
  if (one.progress === undefined && !one.note) return null;
  const note = one.note && theirs(isBrief ? line(one.note, 60) : one.note);
  return h('span.far', one.progress !== undefined && progress(one.progress, 100, 'how far it is'), one.progress !== undefined && ` ${one.progress} % `, note);
}
