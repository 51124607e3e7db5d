/** What ties jobs to others: for which a job waits, its unique key, and the keys of a group. */

import { change, groupApi, may } from '../api.js';
import { ask } from '../dialog.js';
import { h } from '../dom.js';
import { counted, span } from '../format.js';
import { ENDS, badge, batchPage, jobPage, link, panel, schedulePage, small, theirs, when } from '../parts.js';
import { table } from '../table.js';
import { jobLink } from './flow.js';

const CONFLICTS = { existing: 'a second one is not made', refuse: 'a second one is refused', replace: 'a second one replaces it', push: 'a second one puts it off', follow: 'a second one follows it' };

/** What a job still waits for, as links. */
function waitsFor(one, jobs) {
  const known = new Map(jobs.map((job) => [job.id, job]));
  const own = known.get(one.id);
  const all = [...(own?.parents ?? one.after ?? []), ...(own?.leader ? [own.leader] : [])].map((id) => known.get(id) ?? { id, group_name: one.group_name });
  const open = all.filter((job) => !job.status || !ENDS.includes(job.status));
  return h('ul.ties', (open.length ? open : all).map((job) => h('li', { key: job.id }, jobLink(job), job.status && badge(job.status))));
}

const CALLBACKS = { on_failed: 'at its first failure', on_succeeded: 'since all its members succeeded', on_over: 'since all its members ended' };

/** The batch that a job is of, or that made it. */
function batchOf(one) {
  const { id, callback, counts } = one.batch;
  const to = h('a.mono', { href: batchPage(one.group_name, id) }, id);
  if (!callback) return ['Batch', to];
  return ['Made by batch', [to, h('span.muted', ` ${CALLBACKS[callback] ?? callback}: ${counts.over} of ${counts.total} ended, ${counts.failed} failed`)]];
}

/** The schedule that made a job, and the time for which it did. */
const scheduleOf = (one) => ['Schedule', [h('a', { href: schedulePage(one.group_name, one.schedule) }, theirs(one.schedule)), one.scheduled_for && [h('span.muted', ' for '), when(one.scheduled_for)]]];

/** The facts of a job about other jobs. @param {any} one @param {any} flow */
export function ties(one, flow) {
  const jobs = flow?.jobs ?? [];
  const rows = [one.batch && batchOf(one), one.schedule && scheduleOf(one)];
  if (one.key) rows.push(['Key', h('code', theirs(one.key))]);
  if (one.waits_for?.key) rows.push(['Waits for', 'a place of its key']);
  else if (one.waits_for) rows.push(['Waits for', [counted(one.waits_for.jobs, 'job'), waitsFor(one, jobs)]]);
  if (one.after_on === 'over') rows.push(['After', 'any end of these jobs']);
  if (!one.unique) return rows;
  const { until, on_conflict: conflict } = one.unique;
  const hold = one.unique.for ? `for ${span(one.unique.for)} from its creation` : until === 'started' ? 'until it is delivered' : 'until it has ended';
  rows.push(['Unique key', [h('code', theirs(one.unique.key)), h('span.muted', ` ${hold}; ${CONFLICTS[conflict ?? 'existing']}`)]]);
  const own = jobs.find((job) => job.id === one.id);
  const leader = one.waits_for && jobs.find((job) => job.id === own?.leader && !ENDS.includes(job.status));
  const follower = jobs.find((job) => job.leader === one.id && !ENDS.includes(job.status));
  if (leader) rows.push(['Held by', [jobLink(leader), ' ', badge(leader.status)]]);
  if (follower) rows.push(['Followed by', [jobLink(follower), ' ', badge(follower.status)]]);
  return rows;
}

/** The panel of the unique keys of a group that jobs hold; null without one. @param {string} name */
export function keysPanel(context, name, held) {
  const isLater = context.query.get('keys');
  if (!held?.keys?.length && !held?.cursor && !isLater) return null;
  const job = (id) => (id ? h('a.mono', { href: jobPage(name, id) }, id) : h('span.muted', '–'));
  const columns = [
    { label: 'Unique key', isHead: true, kind: 'grow', cell: (one) => theirs(one.key, 'mono') },
    { label: 'Holder', kind: 'grow', cell: (one) => [job(one.holder), ' ', badge(one.status)] },
    { label: 'Follower', kind: 'grow', cell: (one) => job(one.follower) },
    { label: 'Until', cell: (one) => (one.ends_at ? when(one.ends_at) : 'its end') },
    ...(may('produce', name) ? [{ label: 'Action', kind: 'act', cell: (one) => small('Free…', () => free(context, name, one), { 'aria-label': `Free ${one.key}` }) }] : []),
  ];
  const rows = held?.keys ?? [];
  return panel(
    'Unique keys',
    [
      rows.length ? table({ caption: `Unique keys of ${name}`, rows, keyOf: (one) => one.key, columns }) : h('p.calm.muted', 'No key is held here.'),
      (held?.cursor || isLater) &&
        h('div.pager', isLater && link('First keys', context.href({ keys: '' })), held?.cursor && link('Next keys', context.href({ keys: held.cursor }))),
    ],
    h('span.muted', rows.length ? `${counted(rows.length, 'key')}${held?.cursor ? ', and more' : ''}` : ''),
  );
}

/** Ask before a key is freed by hand. @param {string} name */
function free(context, name, one) {
  ask({
    title: 'Free this unique key?',
    verb: 'Free',
    isDangerous: true,
    text: [
      h('p', h('code', one.key), ' of ', h('b', name), ', held by ', h('code', one.holder), `, ${one.status}.`),
      h('p', `The job stays as it is, without the key: another job with it may then run at the same time.${one.follower ? ' Its follower loses the key as well, and still waits for its end.' : ''}`),
    ],
    act: async () => {
      await change('DELETE', `${groupApi(name)}/unique/${encodeURIComponent(one.key)}`);
      return 'The key is free. The audit notes it.';
    },
    after: () => context.reload(),
  });
}
