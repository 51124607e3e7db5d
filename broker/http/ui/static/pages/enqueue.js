/** New jobs: a form with the bounds of the API, a copy of a job to edit, and the same as curl. */

import { change, groupApi, jobApi, may, newKey, root } from '../api.js';
import { problem, toast } from '../dialog.js';
import { h } from '../dom.js';
import { counted, isMasked, quoted } from '../format.js';
import { batchPage, code, field, groupPage, jobPage, panel, zoneName } from '../parts.js';
import { description, fieldsOf } from '../spec.js';
import { addedTo, batchFields, callOf } from './enqueue_batch.js';
import { tieFields, tiesOf } from './enqueue_ties.js';
import { groupHead } from './group_head.js';
import { numberField, numberOf, spanNote } from './spans.js';

export const LABELS = {
  delay: 'Delay',
  priority: 'Priority',
  timeout: 'Timeout',
  max_retries: 'Retries',
  retries_delay: 'Before a retry',
  start_within: 'Start within',
  end_within: 'End within',
};
const NUMBERS = Object.keys(LABELS);
const [RUNS, WHEN, RETRIES] = [['priority', 'timeout'], ['delay', 'start_within', 'end_within'], ['max_retries', 'retries_delay']];
/** Times in the zone of the browser: the label, and the number that means the same. */
const TIMES = { run_at: ['Run at', 'delay'], start_before: ['Start before', 'start_within'], end_before: ['End before', 'end_within'] };

export function enqueue(context) {
  const [name] = context.args;
  const id = context.query.get('copy');
  const { state } = context;
  state.key ??= newKey();
  return {
    title: name ? `Enqueue · ${name}` : 'Enqueue',
    needs: 'produce',
    sources: {
      spec: { url: 'v1/openapi.json' },
      workers: { url: 'v1/workers?n=200', fallback: { workers: [] } },
      ...(name ? { group: { url: groupApi(name), every: 10, fallback: { group: null } } } : {}),
      ...(id ? { copied: { url: jobApi(name, id) } } : {}),
    },
    view: ({ spec, workers, group, copied }) => [
      name ? groupHead(context, name, group?.group, '/enqueue') : h('div.page-head', h('h1', 'Enqueue')),
      spec && (!id || copied) && panel(titleOf(context, id), form(context, name, fieldsOf(spec, 'NewJob'), workers, copied?.job)),
      state.curl && panel('The same as curl', code(state.curl)),
    ],
  };
}

/** @param {string | null} id of a job that is copied */
function titleOf(context, id) {
  const batch = addedTo(context);
  return id ? 'A copy, to edit' : batch ? `New jobs of the batch ${batch}` : 'New jobs';
}

/** @param {string | undefined} name */
function form(context, name, bounds, workers, copied) {
  const { state } = context;
  const isHidden = isMasked(copied?.payload ?? '');
  const onInput = (event) => note(context, event.currentTarget, name);
  return h(
    'form',
    { onInput, onSubmit: (event) => submit(event, context, name) },
    isHidden && h('p.notice', 'The payload has masked values (••••). Write them out before you enqueue, or reveal them on the page of the job first.'),
    fieldsOfJob(context, name, bounds, workers, copied),
    h('p.hint', { role: 'status' }, state.json ?? ''),
    state.error && problem(state.error),
    h(
      'div.dialog-buttons',
      h('span.muted', 'Idempotency-Key ', h('code', state.key)),
      h('button.button', { onClick: (event) => note(context, event.currentTarget.form, name, true) }, 'As curl'),
      may('produce', name) && h('button', { type: 'submit', class: 'button primary' }, 'Enqueue'),
    ),
  );
}

export function imageField(bounds, workers, copied) {
  const images = [...new Set((workers?.workers ?? []).flatMap((worker) => worker.images ?? []))].filter((image) => image && image !== '*');
  const props = { name: 'image', value: copied?.image ?? '', list: 'images', maxlength: 255, autocomplete: 'off', placeholder: 'the group’s' };
  return [
    field('Image', h('input', props), description(bounds.image ?? {})),
    h(
      'datalist',
      { id: 'images' },
      images.map((image) => h('option', { value: image })),
    ),
  ];
}

/** The fields of a new job. @param {string | undefined} name */
function fieldsOfJob(context, name, bounds, workers, copied) {
  const number = (key) => numberField(key, LABELS[key], bounds[key], copied?.[key]);
  return h(
    'div',
    { 'data-keep': 'enqueue', class: 'form-grid' },
    !name &&
      field(
        'Group',
        h('input', { name: 'group', required: true, pattern: '[A-Za-z0-9_\\-]{1,128}', autocomplete: 'off', spellcheck: 'false' }),
        'Letters, digits, _ and -. A new name makes a new group.',
      ),
    imageField(bounds, workers, copied),
    field('Payload', h('textarea', { name: 'payload', rows: 6, spellcheck: 'false', value: copied?.payload ?? '' }), 'Any text; JSON is common.', 'whole'),
    RUNS.map(number),
    field('How many', h('input', { name: 'count', type: 'number', min: 1, max: 1000, value: 1 }), 'The same job so many times, all or none.'),
    h('h3.whole', 'When'),
    spanNote(),
    WHEN.map(number),
    Object.entries(TIMES).map(([key, [label, other]]) =>
      field(label, h('input', { name: key, type: 'datetime-local' }), `In ${zoneName}, the zone of this browser; in place of ${LABELS[other]}.`),
    ),
    h('h3.whole', 'After a failure'),
    RETRIES.map(number),
    policyField(copied?.retry),
    h('h3.whole', 'Other jobs'),
    tieFields(copied),
    batchFields(context),
  );
}

/** A retry policy as JSON, in place of a number of retries. */
export function policyField(retry) {
  const value = retry ? JSON.stringify(retry) : '';
  const hint = 'When a failed job is tried again, as the same job: JSON, such as {"max": 8, "delay": 5, "cap": 900}.';
  return field('Retry policy', h('input', { name: 'retry', value, spellcheck: 'false', autocomplete: 'off', placeholder: 'none' }), hint, 'whole');
}

/** The JSON in a text; the text itself if it is none, which the broker refuses. @param {string} text */
export function jsonOf(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The jobs of a form. @param {FormData} form */
export function jobsOf(form) {
  const job = {};
  for (const key of ['image', 'payload']) if (form.get(key)) job[key] = String(form.get(key));
  for (const key of NUMBERS) if (form.get(key)) job[key] = numberOf(key, String(form.get(key)));
  if (String(form.get('retry') ?? '').trim()) job.retry = jsonOf(String(form.get('retry')));
  Object.assign(job, tiesOf(form));
  for (const key of Object.keys(TIMES)) if (form.get(key)) job[key] = new Date(String(form.get(key))).toISOString();
  return Array.from({ length: Number(form.get('count')) || 1 }, () => job);
}

/** What a person should know of a payload. @param {string} text */
export function jsonNote(text) {
  if (!/^\s*[[{]/.test(text)) return '';
  try {
    JSON.parse(text);
    return 'Valid JSON ✓';
  } catch (error) {
    return `Not valid JSON: ${error.message}. It can still be enqueued as text.`;
  }
}

/** @param {HTMLFormElement} element @param {string | undefined} name @param {boolean} [isAsked] */
function note(context, element, name, isAsked = false) {
  const { state } = context;
  const form = new FormData(element);
  state.json = jsonNote(String(form.get('payload') ?? ''));
  if (isAsked || state.curl) {
    const group = name ?? String(form.get('group') || 'GROUP');
    const { path, body } = callOf(group, form, jobsOf(form), addedTo(context), jsonOf);
    state.curl = `curl -s ${quoted(root.href + path)} \\\n  -H 'Content-Type: application/json' -H 'Idempotency-Key: ${state.key}' \\\n  -d ${quoted(JSON.stringify(body))}`;
  }
  context.update();
}

/** @param {string | undefined} name */
async function submit(event, context, name) {
  event.preventDefault();
  const { state } = context;
  const form = new FormData(event.currentTarget);
  const group = name ?? String(form.get('group'));
  if (state.isBusy) return;
  state.isBusy = true;
  try {
    const batch = addedTo(context);
    const { path, body } = callOf(group, form, jobsOf(form), batch, jsonOf);
    const made = await change('POST', path, body, { 'Idempotency-Key': state.key });
    toast(made.jobs?.[0].duplicate ? 'A job has this unique key already: nothing was made.' : `${counted(made.jobs?.length ?? made.batch.counts.total, 'job')} enqueued.`);
    if (batch || made.batch) context.go(batchPage(group, batch || made.batch.id));
    else context.go(made.jobs.length === 1 ? jobPage(group, made.jobs[0].id) : groupPage(group));
  } catch (error) {
    state.error = error;
    context.update();
  } finally {
    state.isBusy = false;
  }
}
