/** The fields of a new job about other jobs: those that it waits for, and its unique key. */

import { h } from '../dom.js';
import { field, select } from '../parts.js';

/** @type {[string, string][]} */
const AFTER_ON = [['', 'their success'], ['over', 'any end of them']];
/** @type {[string, string][]} */
const UNTIL = [['', 'until it has ended'], ['started', 'until it is delivered'], ['for', 'for a time']];
/** @type {[string, string][]} */
const CONFLICTS = [
  ['', 'existing: the second one is not made'],
  ['refuse', 'refuse: the second one is refused'],
  ['replace', 'replace: the second one takes the place of the first'],
  ['push', 'push: the same, and the delay begins again'],
  ['follow', 'follow: the second one waits for the end of the first'],
];

/** @param {any} [copied] the job that is copied */
export function tieFields(copied) {
  const unique = copied?.unique;
  const until = unique?.for ? 'for' : unique?.until === 'started' ? 'started' : '';
  const input = (name, value, props = {}) => h('input', { name, value: value ?? '', autocomplete: 'off', ...props });
  const plain = { spellcheck: 'false' };
  const seconds = (max) => ({ type: 'number', min: 1, max, placeholder: 'none' });
  return [
    field('After', input('after', copied?.after?.join(' '), plain), 'Ids of jobs that it waits for, with spaces: up to 100, of the same partition.', 'whole'),
    field('It waits for', select('after_on', AFTER_ON, copied?.after_on === 'over' ? 'over' : '')),
    field('Unique key', input('unique_key', unique?.key, { maxlength: 255, ...plain }), 'Only one job of the group has a key at a time.'),
    field('It holds the key', select('unique_until', UNTIL, until)),
    field('For, s', input('unique_for', unique?.for, seconds(31536000)), 'From its creation on, with “for a time”.'),
    field('Another job with the key', select('on_conflict', CONFLICTS, unique?.on_conflict === 'existing' ? '' : (unique?.on_conflict ?? ''))),
    field('Put off, s at most', input('max_wait', unique?.max_wait, seconds(315360000)), 'With push, from its creation on.'),
  ];
}

/** These fields as the API takes them. @param {FormData} form */
export function tiesOf(form) {
  const text = (name) => String(form.get(name) ?? '').trim();
  /** @type {Record<string, any>} */
  const ties = {};
  const after = text('after').split(/[\s,]+/).filter(Boolean);
  if (after.length) ties.after = after;
  if (after.length && text('after_on')) ties.after_on = text('after_on');
  if (!text('unique_key')) return ties;
  ties.unique = { key: text('unique_key') };
  const until = text('unique_until');
  if (until === 'for') ties.unique.for = Number(text('unique_for'));
  else if (until) ties.unique.until = until;
  if (text('on_conflict')) ties.unique.on_conflict = text('on_conflict');
  if (text('max_wait')) ties.unique.max_wait = Number(text('max_wait'));
  return ties;
}
