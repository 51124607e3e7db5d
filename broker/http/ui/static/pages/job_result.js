/** What a job made, and how far it is. */

import { may, session } from '../api.js';
import { h } from '../dom.js';
import { bytes, counted, isMasked, line } from '../format.js';
import { badge, panel, progress, small, theirs } from '../parts.js';
import { tree } from '../tree.js';
import { jobLink } from './flow.js';

/** The panel with the result of a job; null without one. @param {(context, one) => void} reveal */
export function result(context, one, reveal) {
  const value = context.state.revealedResult ?? one.result;
  if (value === undefined) return null;
  const text = JSON.stringify(value);
  const masked = isMasked(text) && may('admin', one.group_name) && session.csrf ? small('Reveal…', () => reveal(context, one)) : null;
  return panel('Result', shown(value, `result${context.state.revealedResult !== undefined}`), h('div.choice', h('span.muted', bytes(new Blob([text]).size)), masked));
}

/** A value of JSON: as a tree, or as a text. @param {string} keep */
function shown(value, keep) {
  const text = JSON.stringify(value);
  if (value !== null && typeof value === 'object') return h('div', { 'data-keep': `${keep}${text.length}` }, tree(value));
  return h('pre.payload', { tabindex: 0 }, h('bdi', typeof value === 'string' ? value : text));
}

/** The panel with what a job gets from the jobs that it waited for, once one of them has ended. @param {any} given @param {any} flow */
export function inputs(given, flow) {
  const ended = (given?.inputs ?? []).filter((input) => input.status);
  if (!ended.length) return null;
  const known = new Map((flow?.jobs ?? []).map((job) => [job.id, job]));
  const row = (input) =>
    h(
      'li',
      { key: input.id },
      h('p', badge(input.status), jobLink(known.get(input.id) ?? { id: input.id }), theirs(known.get(input.id)?.image ?? '', 'muted')),
      input.left_out_bytes && h('p.muted', `Its result has ${bytes(input.left_out_bytes)}, too much for an input.`),
      input.result !== undefined ? shown(input.result, input.id) : !input.left_out_bytes && h('p.muted', 'It made no result.'),
    );
  return panel('Inputs', h('ul.inputs', ended.map(row)), h('span.muted', `of ${ended.length === given.inputs.length ? '' : `${ended.length} of `}${counted(given.inputs.length, 'job')}`));
}

/** A bar and the note of a job that said how far it is; null for another one. @param {boolean} isBrief */
export function far(one, isBrief = false) {
  if (one.progress === undefined && !one.note) return null;
  const note = one.note && theirs(isBrief ? line(one.note, 60) : one.note);
  return h('span.far', one.progress !== undefined && progress(one.progress, 100, 'how far it is'), one.progress !== undefined && ` ${one.progress} % `, note);
}
