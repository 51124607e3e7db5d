/** Schedules in words: when they are due, and what became of a time. */

import { h } from '../dom.js';
import { ms, span } from '../format.js';
import { badge, theirs, zoneName } from '../parts.js';
import { choices } from '../state.js';

/** @type {Record<string, string>} */
const WHY = {
  overlap: 'the job before it had not ended',
  limit: 'the group had too many jobs, or too many waited',
  duplicate: 'a job had its unique key',
  no_image: 'there was no image',
  paused: 'the schedule was paused',
  gap: 'the local time did not exist',
  missed: 'no broker ran at that time',
};
const BY = { run: 'by hand', backfill: 'by a backfill' };
const WHATS = { fired: 'succeeded', skipped: 'cancelled', missed: 'warn' };
export const OVERLAPS = {
  skip: 'skip: no new job',
  queue: 'queue: one job that waits for its end',
  queue_all: 'queue_all: a job for each time, one after the other',
  cancel: 'cancel: the earlier job is cancelled',
  allow: 'allow: both run',
};

export const MISSED = { one: 'the latest alone', all: 'each of them', none: 'none' };

/** The state of a schedule. */
export const stateBadge = (one) => badge({ active: 'working', paused: 'paused', done: 'done' }[one.state] ?? one.state, one.state);

/** When a schedule is due: its expressions with the zone, its distance, or its one time. */
export function due(one) {
  if (one.every !== undefined) return h('span', `every ${span(one.every)}`, one.offset ? h('span.muted', `, ${span(one.offset)} later`) : '');
  if (one.at !== undefined) return h('span', 'once, ', h('code', one.at));
  return h(
    'span.due',
    [one.cron ?? []].flat().map((cron) => h('code', theirs(cron))),
    h('span.muted', theirs(one.zone)),
  );
}

/** The heading of times as the page shows them. */
export const here = () => `Here, ${choices.isUtc ? 'UTC' : zoneName}`;

/** The words of cron expressions, with the zone. @param {string[]} words @param {string} [zone] */
export const wordsOf = (words, zone) => words.map((each) => h('div', each, zone && [', ', theirs(zone)]));

/** What became of a time, and why there is no job. */
export function what(fire) {
  return [
    badge(WHATS[fire.what] ?? 'queued', fire.what),
    fire.times > 1 && ` ${fire.times} times`,
    fire.why && h('span.muted', `: ${WHY[fire.why] ?? fire.why}`),
    fire.by && h('span.muted', `, ${BY[fire.by] ?? fire.by}`),
    fire.moved && h('span.muted', ', after a jump of the clock'),
  ];
}

/** How long until a time. @param {string} at @param {number} now */
export const until = (at, now) => (ms(at) > now ? `in ${span((ms(at) - now) / 1000)}` : 'now');
