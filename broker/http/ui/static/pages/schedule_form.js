/** A schedule to make or to change: a form with the bounds of the API, and the times that it would have. */

import { Refusal, change, groupApi, may, now, scheduleApi } from '../api.js';
import { problem, toast } from '../dialog.js';
import { h } from '../dom.js';
import { zoned } from '../format.js';
import { field, groupPage, link, panel, schedulePage, select, theirs, when, zoneName } from '../parts.js';
import { fieldsOf } from '../spec.js';
import { table } from '../table.js';
import { LABELS, imageField, jsonNote, jsonOf, policyField } from './enqueue.js';
import { keyField, keysOf, uniqueFields } from './enqueue_ties.js';
import { groupHead } from './group_head.js';
import { MISSED, OVERLAPS, here, until, wordsOf } from './schedule_words.js';
import { numberField, numberOf, spanNote } from './spans.js';

const JOB_NUMBERS = ['priority', 'timeout', 'max_retries', 'retries_delay', 'start_within', 'end_within'];
const NUMBERS = { every: 'Every', offset: 'Each time later by', jitter: 'Jitter, at most', catch_up: 'Missed times of the last', max_fires: 'Jobs in all, at most', pause_after: 'Pauses after failures in a row' };
const TIMES = { starts_at: 'From', ends_at: 'Until' };
/** @type {[string, string][]} */
const GAPS = [['run', 'run: right after the jump'], ['skip', 'skip: not at all']];
const OWN_ZONE = `In ${zoneName}, the zone of this browser; the time zone above is that of cron alone.`;
const SPEC = ['cron', 'at', 'zone', 'gap', 'overlap', 'missed', ...Object.keys(NUMBERS), ...Object.keys(TIMES)];

/** A new schedule of a group, or one that is changed. */
export function scheduleForm(context) {
  const [name, own] = context.args;
  return {
    title: own ? `Change ${own}` : `New schedule · ${name}`,
    needs: 'produce',
    sources: {
      spec: { url: 'v1/openapi.json' },
      workers: { url: 'v1/workers?n=200', fallback: { workers: [] } },
      group: { url: groupApi(name), every: 10, fallback: { group: null } },
      ...(own ? { main: { url: scheduleApi(name, own) } } : {}),
    },
    view: ({ spec, workers, group, main }) => [
      groupHead(context, name, group?.group, '/schedules'),
      spec && (!own || main) && panel(own ? `Change ${own}` : 'New schedule', form(context, spec, workers, main?.schedule)),
      context.state.times && panel('It would have these times', [inWords(context.state.words), preview(context.state.times)]),
    ],
  };
}

/** @param {any} [old] the schedule that is changed */
function form(context, spec, workers, old) {
  const [name] = context.args;
  const bounds = fieldsOf(spec, 'NewSchedule');
  const jobs = fieldsOf(spec, 'ScheduledJob');
  const job = old?.job ?? {};
  const number = (key) => numberField(key, NUMBERS[key], bounds[key], old?.[key]);
  return h(
    'form',
    { onChange: (event) => look(context, event.currentTarget, old), onInput: (event) => note(context, event.currentTarget), onSubmit: (event) => save(event, context, old) },
    h(
      'div',
      { 'data-keep': `schedule${old?.revision ?? ''}`, class: 'form-grid' },
      !old && field('Name', h('input', { name: 'name', required: true, maxlength: 128, autocomplete: 'off', spellcheck: 'false' }), 'Letters, digits, _, - and dots.'),
      timeFields(number, old),
      h('h3.whole', 'When a job before it still runs, or a time was missed'),
      choices(old),
      number('catch_up'),
      h('h3.whole', 'From when on, and how long'),
      Object.entries(TIMES).map(([key, label]) => field(label, timeInput(key, old?.[key]), OWN_ZONE)),
      ['max_fires', 'pause_after'].map(number),
      h('h3.whole', 'Its job'),
      imageField(jobs, workers, job),
      field('Payload', h('textarea', { name: 'payload', rows: 4, spellcheck: 'false', value: job.payload ?? '' }), 'Any text; JSON is common.', 'whole'),
      JOB_NUMBERS.map((key) => numberField(key, LABELS[key], jobs[key], job[key])),
      policyField(job.retry),
      keyField(job.key),
      uniqueFields(job.unique),
    ),
    h('p.hint', { role: 'status' }, context.state.json ?? ''),
    context.state.error && problem(context.state.error),
    h(
      'div.dialog-buttons',
      link('Back', old ? schedulePage(name, old.name) : `${groupPage(name)}/schedules`),
      h('button.button', { onClick: (event) => look(context, event.currentTarget.form, old, true) }, 'Show its times'),
      may('produce', name) && h('button', { type: 'submit', class: 'button primary' }, 'Save'),
    ),
  );
}

/** When it is due. @param {(key: string) => any} number @param {any} [old] */
function timeFields(number, old) {
  const zones = 'supportedValuesOf' in Intl ? Intl.supportedValuesOf('timeZone') : [];
  const cron = [old?.cron ?? []].flat().join('\n');
  return [
    h('h3.whole', 'When: exactly one of cron, every and one time'),
    spanNote(),
    field('Cron', h('textarea', { name: 'cron', rows: 2, spellcheck: 'false', value: cron, placeholder: '30 7 * * 1-5' }), 'One expression a line; several count together.', 'whole'),
    field('Time zone', h('input', { name: 'zone', value: old?.zone ?? zoneName, list: 'zones', autocomplete: 'off', spellcheck: 'false' }), 'Of cron, such as Europe/Berlin.'),
    h('datalist', { id: 'zones' }, zones.map((value) => h('option', { value }))),
    field('A local time of that zone that does not exist', select('gap', GAPS, old?.gap ?? 'run')),
    number('every'),
    number('offset'),
    field('One time', timeInput('at', old?.at), OWN_ZONE),
    number('jitter'),
  ];
}

function choices(old) {
  /** @type {[string, string][]} */
  const [overlaps, missed] = [Object.entries(OVERLAPS), Object.entries(MISSED)];
  return [
    field('While an earlier job has not ended', select('overlap', overlaps, old?.overlap ?? 'skip')),
    field('Of missed times it makes up for', select('missed', missed, old?.missed ?? 'one')),
  ];
}

/** @param {string} name @param {string} [at] */
function timeInput(name, at) {
  const local = at ? new Date(new Date(at).getTime() - new Date(at).getTimezoneOffset() * 60_000).toISOString().slice(0, 16) : '';
  return h('input', { name, type: 'datetime-local', value: local });
}

/** The schedule of a form. What the form has no field for stays as it was. @param {FormData} form @param {any} [old] */
export function scheduleOf(form, old) {
  const text = (key) => String(form.get(key) ?? '').trim();
  const schedule = Object.fromEntries(SPEC.filter((key) => text(key)).map((key) => [key, text(key)]));
  for (const key of Object.keys(NUMBERS)) if (schedule[key]) schedule[key] = numberOf(key, schedule[key]);
  for (const key of ['at', ...Object.keys(TIMES)]) if (schedule[key]) schedule[key] = timeIn(schedule[key], old?.[key]);
  if (schedule.cron) schedule.cron = schedule.cron.split('\n').map((line) => line.trim()).filter(Boolean);
  else delete schedule.zone;
  const job = { ...old?.job };
  for (const key of ['image', ...JOB_NUMBERS, 'retry', 'key', 'unique']) delete job[key];
  if (text('image')) job.image = text('image');
  job.payload = String(form.get('payload') ?? '') || undefined;
  for (const key of JOB_NUMBERS) if (text(key)) job[key] = numberOf(key, text(key));
  if (text('retry')) job.retry = jsonOf(text('retry'));
  return { ...schedule, job: { ...job, ...keysOf(form) } };
}

/** A local time as the API has it; the seconds of the old one stay if its minute is the same. @param {string} local @param {string} [old] */
function timeIn(local, old) {
  const at = new Date(local);
  return old && Math.floor(new Date(old).getTime() / 60_000) === at.getTime() / 60_000 ? old : at.toISOString();
}

function note(context, element) {
  context.state.json = jsonNote(String(new FormData(element).get('payload') ?? ''));
  context.update();
}

/** Ask which times it would have. Nothing is said of a form that is not complete, unless the person asked. */
async function look(context, element, old, isAsked = false) {
  const { state } = context;
  const turn = (state.turn = (state.turn ?? 0) + 1);
  try {
    const found = await change('POST', 'v1/schedules/preview?n=5', { schedule: scheduleOf(new FormData(element), old) });
    if (turn !== state.turn) return;
    Object.assign(state, { times: found.times, words: found.words, error: null });
  } catch (error) {
    if (turn !== state.turn) return;
    Object.assign(state, { times: null, error: isAsked || !(error instanceof Refusal) ? error : null });
  }
  context.update();
}

/** @param {string[]} [words] those of cron */
const inWords = (words) => words && h('p.calm', wordsOf(words));

function preview(times) {
  if (!times.length) return h('p.calm.muted', 'It has no next time.');
  const columns = [
    { label: 'In its zone', isHead: true, cell: (time) => h('span.mono', zoned(time.local)) },
    { label: here(), cell: (time) => when(time.at) },
    { label: 'In', isNumber: true, cell: (time) => theirs(until(time.at, now()).replace('in ', '')) },
  ];
  return table({ caption: 'The times that it would have', rows: times, keyOf: (time) => time.at, columns });
}

/** @param {any} [old] */
async function save(event, context, old) {
  event.preventDefault();
  const { state } = context;
  const form = new FormData(event.currentTarget);
  const [group] = context.args;
  const name = old?.name ?? String(form.get('name'));
  if (state.isBusy) return;
  state.isBusy = true;
  try {
    await change('PUT', scheduleApi(group, name), { schedule: scheduleOf(form, old) }, old ? { 'If-Match': `"${old.revision}"` } : { 'If-None-Match': '*' });
    toast(`The schedule ${name} is saved.`);
    context.go(schedulePage(group, name));
  } catch (error) {
    state.error = error;
    context.update();
  } finally {
    state.isBusy = false;
  }
}
