/** The fields of a new job about other jobs: those that it waits for, and its unique key. */

import { h } from '../dom.js';
import { secondsOf } from '../format.js';
import { field, select } from '../parts.js';
import { spanField } from './spans.js';

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

const PLAIN = { spellcheck: 'false' };
const input = (name, value, props = {}) => h('input', { name, value: value ?? '', autocomplete: 'off', ...props });
const text = (form, name) => String(form.get(name) ?? '').trim();

/** @param {any} [copied] the job that is copied */
export function tieFields(copied) {
  return [
    field('After', input('after', copied?.after?.join(' '), PLAIN), 'Ids of jobs that it waits for, with spaces: up to 100, of the same partition.', 'whole'),
    field('It waits for', select('after_on', AFTER_ON, copied?.after_on === 'over' ? 'over' : '')),
    keyField(copied?.key),
    uniqueFields(copied?.unique),
  ];
}

/** The field of a key, such as a tenant. @param {string} [key] */
export const keyField = (key) => field('Key', input('job_key', key, { maxlength: 128, ...PLAIN }), 'What it belongs to, such as a tenant.');

/** The fields of a unique key. @param {any} [unique] */
export function uniqueFields(unique) {
  const until = unique?.for ? 'for' : unique?.until === 'started' ? 'started' : '';
  return [
    field('Unique key', input('unique_key', unique?.key, { maxlength: 255, ...PLAIN }), 'Only one job of the group has a key at a time.'),
    field('It holds the key', select('unique_until', UNTIL, until)),
    spanField('For', 'unique_for', unique?.for, 'From its creation on, with “for a time”: such as 10m or 1d.'),
    field('Another job with the key', select('on_conflict', CONFLICTS, unique?.on_conflict === 'existing' ? '' : (unique?.on_conflict ?? ''))),
    spanField('Put off at most', 'max_wait', unique?.max_wait, 'With push, from its creation on.'),
  ];
}

/** These fields as the API takes them. @param {FormData} form */
export function tiesOf(form) {
  /** @type {Record<string, any>} */
  const ties = {};
  const after = text(form, 'after').split(/[\s,]+/).filter(Boolean);
  if (after.length) ties.after = after;
  if (after.length && text(form, 'after_on')) ties.after_on = text(form, 'after_on');
  return { ...ties, ...keysOf(form) };
}

/** The key and the unique key of a form, if it has them. @param {FormData} form @returns {{key?: string, unique?: Record<string, any>}} */
export function keysOf(form) {
  const own = text(form, 'job_key') ? { key: text(form, 'job_key') } : {};
  if (!text(form, 'unique_key')) return own;
  /** @type {Record<string, any>} */
  const unique = { key: text(form, 'unique_key') };
  const until = text(form, 'unique_until');
  if (until === 'for') unique.for = secondsOf(text(form, 'unique_for'));
  else if (until) unique.until = until;
  if (text(form, 'on_conflict')) unique.on_conflict = text(form, 'on_conflict');
  if (text(form, 'max_wait')) unique.max_wait = secondsOf(text(form, 'max_wait'));
  return { ...own, unique };
}
