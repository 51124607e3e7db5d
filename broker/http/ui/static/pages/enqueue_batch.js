/** The fields of new jobs about their batch, and the call that makes them. */

import { batchApi, groupApi } from '../api.js';
import { h } from '../dom.js';
import { secondsOf } from '../format.js';
import { field, select } from '../parts.js';
import { spanField } from './spans.js';

/** @type {[string, string][]} */
const KINDS = [['', 'no'], ['closed', 'yes, of these jobs'], ['open', 'yes, and others follow']];

/** The batch to which the jobs are added, from the address; '' for none. */
export const addedTo = (context) => (context.query.get('batch') === 'new' ? '' : (context.query.get('batch') ?? ''));

export function batchFields(context) {
  if (addedTo(context)) return null;
  const input = (name, props = {}) => h('input', { name, autocomplete: 'off', ...props });
  const hint = 'Jobs that the batch makes, as JSON: on_failed, on_succeeded, on_over.';
  return [
    h('h3.whole', 'Batch'),
    field('As a batch', select('batch', KINDS, context.query.get('batch') === 'new' ? 'closed' : ''), 'It counts how its jobs end.'),
    field('Name of the batch', input('batch_name', { maxlength: 255 }), 'For people.'),
    spanField('Batch ends within', 'batch_within', undefined, 'Then its unfinished jobs are cancelled.'),
    field('Callbacks of the batch', input('callbacks', { spellcheck: 'false', placeholder: '{"on_over": {"image": "report"}}' }), hint, 'whole'),
  ];
}

/**
 * The path and the body of the call.
 * @param {string} group @param {FormData} form @param {any[]} jobs @param {string} batch that to which they are added, or ''
 * @param {(text: string) => any} jsonOf
 */
export function callOf(group, form, jobs, batch, jsonOf) {
  if (batch) return { path: `${batchApi(group, batch)}/jobs`, body: { jobs } };
  const kind = form.get('batch');
  if (!kind) return { path: `${groupApi(group)}/jobs`, body: { jobs } };
  const text = (name) => String(form.get(name) ?? '').trim();
  /** @type {Record<string, any>} */
  const made = { jobs };
  if (text('batch_name')) made.name = text('batch_name');
  if (kind === 'open') made.open = true;
  if (text('batch_within')) made.end_within = secondsOf(text('batch_within'));
  const callbacks = text('callbacks') && jsonOf(text('callbacks'));
  if (callbacks) Object.assign(made, typeof callbacks === 'object' ? callbacks : { callbacks });
  return { path: `${groupApi(group)}/batches`, body: { batch: made } };
}
