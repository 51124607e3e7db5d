/** What a person can do to a schedule. Each asks first. */

import { change, newKey, scheduleApi } from '../api.js';
import { ask } from '../dialog.js';
import { h } from '../dom.js';
import { counted } from '../format.js';
import { field, groupPage, jobPage, select, zoneName } from '../parts.js';
import { OVERLAPS } from './schedule_words.js';

/** @typedef {'pause' | 'resume' | 'run' | 'backfill' | 'delete'} ScheduleAction */

/** @type {Record<ScheduleAction, {verb: string, fits: (one: any) => boolean, text: string, isDangerous?: boolean, fields?: () => any}>} */
export const SCHEDULE_ACTIONS = {
  run: {
    verb: 'Run now',
    fits: () => true,
    text: 'One job is made now. The next time of the schedule stays as it is.',
    fields: () => overlapField('as the schedule says'),
  },
  pause: {
    verb: 'Pause',
    fits: (one) => one.state === 'active',
    text: 'It makes no job until somebody resumes it. Jobs that it made stay as they are.',
    fields: () => field('Note for others', h('input', { name: 'note', maxlength: 255, autofocus: true }), 'Shown on the page of the schedule, with your name.'),
  },
  resume: {
    verb: 'Resume',
    fits: (one) => one.state === 'paused',
    text: 'It makes jobs again, from its next time on. What passed while it was paused is not made up for.',
  },
  backfill: {
    verb: 'Backfill',
    fits: () => true,
    text: 'A job is made for each time between these two, both included: 1,000 at most. A time that was backfilled before makes none.',
    fields: () => [
      field('From', h('input', { name: 'from', type: 'datetime-local', required: true }), `In ${zoneName}, the zone of this browser.`),
      field('To', h('input', { name: 'to', type: 'datetime-local', required: true }), `In ${zoneName}, the zone of this browser.`),
      overlapField('queue_all: one after the other'),
    ],
  },
  delete: {
    verb: 'Delete',
    fits: () => true,
    text: 'The schedule and its history are gone for good. Jobs that it made stay as they are.',
    isDangerous: true,
  },
};

/** @param {string} none what is done without a choice */
function overlapField(none) {
  /** @type {[string, string][]} */
  const options = [['', none], ...Object.entries(OVERLAPS)];
  return field('While an earlier job has not ended', select('overlap', options, ''));
}

/** The body of an action. @param {ScheduleAction} action @param {FormData} form */
export function bodyOf(action, form) {
  /** @type {Record<string, any>} */
  const body = {};
  if (form.get('overlap')) body.overlap = form.get('overlap');
  if (form.get('note')) body.note = form.get('note');
  if (action === 'backfill') for (const key of ['from', 'to']) body[key] = new Date(String(form.get(key))).toISOString();
  return body;
}

/** @param {ScheduleAction} action */
export function askSchedule(context, action, one) {
  const { verb, text, isDangerous, fields } = SCHEDULE_ACTIONS[action];
  const path = scheduleApi(one.group_name, one.name);
  const key = newKey();
  let made = null;
  ask({
    title: `${verb}: ${one.name}?`,
    verb,
    isDangerous,
    fields,
    text: h('p', text),
    act: async (form) => {
      if (action === 'delete') made = await change('DELETE', path);
      else made = await change('POST', `${path}/${action}`, bodyOf(action, form), action === 'run' ? { 'Idempotency-Key': key } : undefined);
      return { run: 'A job was made.', pause: 'It is paused.', resume: 'It is resumed.', backfill: `${counted(made?.times ?? 0, 'job')} made.`, delete: 'The schedule is deleted.' }[action];
    },
    after: () => {
      if (action === 'run' && made?.job) context.go(jobPage(one.group_name, made.job.id));
      else if (action === 'delete') context.go(`${groupPage(one.group_name)}/schedules`);
      else context.reload();
    },
  });
}
