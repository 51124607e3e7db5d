/** What a retry changes in the new jobs: the fields of a form, and the body of the API. */

import { h } from '../dom.js';
import { field, select } from '../parts.js';
import { numberOf, spanField } from './spans.js';

const SPANS = { timeout: 'Timeout', retries_delay: 'Before a retry', delay: 'Delay' };
const AS_BEFORE = 'as before';

/** Fields that change something in each new job; an empty one changes nothing. */
export function changeFields() {
  return h(
    'details.changes',
    { 'data-keep': 'changes' },
    h('summary', 'Change the new jobs'),
    h(
      'div.form-grid',
      Object.entries(SPANS).map(([name, label]) => spanField(label, `set.${name}`, undefined, undefined, name === 'delay' ? 'none' : AS_BEFORE)),
      field('Retries', h('input', { name: 'set.max_retries', type: 'number', min: 0, max: 25, placeholder: AS_BEFORE })),
      field('Priority', select('set.priority', [['', AS_BEFORE], ['0', '0'], ['1', '1'], ['2', '2']], '')),
      field('Image', h('input', { name: 'set.image', maxlength: 255, autocomplete: 'off', placeholder: AS_BEFORE })),
      field('Payload', h('textarea', { name: 'set.payload', rows: 3, spellcheck: 'false', placeholder: AS_BEFORE }), undefined, 'whole'),
    ),
  );
}

/** The changes of a form as `set` of the API; undefined if there is none. @param {FormData} form */
export function changesOf(form) {
  /** @type {Record<string, any>} */
  const changes = {};
  const text = (name) => String(form.get(`set.${name}`) ?? '');
  for (const name of ['image', 'payload']) if (text(name)) changes[name] = text(name);
  for (const name of [...Object.keys(SPANS), 'max_retries', 'priority']) if (text(name)) changes[name] = numberOf(name, text(name));
  return Object.keys(changes).length ? changes : undefined;
}

/** In a line: what `set` of a bulk changes. @param {Record<string, any> | undefined} changes */
export const changeWords = (changes) =>
  Object.entries(changes ?? {})
    .map(([name, value]) => `${name.replaceAll('_', ' ')} ${value ?? 'default'}`)
    .join(', ');
