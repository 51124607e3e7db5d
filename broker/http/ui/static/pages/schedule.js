/** Schedules: those of a group, and one with its next times and what became of the last ones. */

import { groupApi, may, now, query, scheduleApi } from '../api.js';
import { h } from '../dom.js';
import { counted, exact, span, zoned } from '../format.js';
import { badge, button, crumbs, empty, facts, groupPage, icon, jobPage, link, panel, rawJson, schedulePage, small, theirs, when } from '../parts.js';
import { table } from '../table.js';
import { parsed, tree } from '../tree.js';
import { groupHead } from './group_head.js';
import { pager } from './overview.js';
import { SCHEDULE_ACTIONS, askSchedule } from './schedule_actions.js';
import { MISSED, OVERLAPS, due, here, stateBadge, until, what, wordsOf } from './schedule_words.js';

/** The schedules of a group, by name. */
export function schedules(context) {
  const [name] = context.args;
  const cursor = context.query.get('cursor') ?? '';
  return {
    title: `Schedules · ${name}`,
    sources: {
      main: { url: `${groupApi(name)}/schedules${query({ n: 50, cursor })}`, every: 5 },
      group: { url: groupApi(name), every: 10, fallback: { group: null } },
    },
    view: ({ main, group }) => [
      groupHead(context, name, group?.group, '/schedules'),
      main && h('section.panel', main.schedules.length ? [makeOne(name), rows(context, name, main.schedules)] : none(name), pager(context, main)),
    ],
  };
}

/** @param {string} name */
const makeOne = (name) => may('produce', name) && h('p', link('New schedule…', `${groupPage(name)}/new-schedule`));

/** @param {string} name */
const none = (name) =>
  empty(
    'This group has no schedules.',
    h('p', 'A schedule makes a job at each of its times. One for each workday:'),
    h('code', `titan schedule set ${name} digest --cron '30 7 * * 1-5' --zone Europe/Berlin --image digest`),
    makeOne(name),
  );

/** Its next time, and how long until then. */
const next = (one) => (one.next_at ? h('span.due', when(one.next_at), h('span.muted', until(one.next_at, now()))) : h('span.muted', '–'));

/** The job of a fire, and how that ended. @param {string} group */
function jobOf(group, fire) {
  if (!fire?.job) return h('span.muted', '–');
  const id = fire.retried_as ?? fire.job;
  return [h('a.mono', { href: jobPage(group, id) }, id), fire.what === 'fired' && fire.outcome && [' ', badge(fire.outcome)]];
}

/** @param {string} name @param {any[]} all */
function rows(context, name, all) {
  const act = (one) => (one.state === 'paused' ? 'resume' : 'pause');
  const button_ = (one, action) => small(`${SCHEDULE_ACTIONS[action].verb}…`, () => askSchedule(context, action, one), { 'aria-label': `${SCHEDULE_ACTIONS[action].verb} ${one.name}` });
  return table({
    caption: `Schedules of ${name}`,
    rows: all,
    keyOf: (one) => one.name,
    columns: [
      { label: 'Schedule', isHead: true, kind: 'grow', cell: (one) => h('a', { href: schedulePage(name, one.name) }, theirs(one.name)) },
      { label: 'State', cell: stateBadge },
      { label: 'Due', cell: due },
      { label: 'Next', cell: next },
      { label: 'Last job', cell: (one) => jobOf(name, one.last) },
      { label: 'Fired', isNumber: true, cell: (one) => exact(one.counts.fired) },
      { label: 'Failed', isNumber: true, cell: (one) => h('span', { class: one.counts.failed ? 'bad' : 'zero' }, exact(one.counts.failed)) },
      { label: 'Skipped, missed', isNumber: true, cell: (one) => `${exact(one.counts.skipped)}, ${exact(one.counts.missed)}` },
      ...(may('produce', name) ? [{ label: 'Action', kind: 'act', cell: (one) => h('div.row', one.state !== 'done' && button_(one, act(one)), button_(one, 'run')) }] : []),
    ],
  });
}

/** One schedule. */
export function schedule(context) {
  const [name, own] = context.args;
  const path = scheduleApi(name, own);
  return {
    title: `Schedule ${own}`,
    sources: {
      main: { url: path, every: 5 },
      next: { url: `${path}/next?n=10`, every: 30, fallback: { times: [] } },
      fires: { url: `${path}/fires?n=50`, every: 5, fallback: { fires: [] } },
    },
    say: ({ main }) => `${own} is ${main.schedule.state}`,
    missing: () => [crumbs(name, 'Schedules'), h('h1', theirs(own)), empty('There is no such schedule.', link(`Schedules of ${name}`, `${groupPage(name)}/schedules`))],
    view: ({ main, next: times, fires }) => [
      crumbs(name, 'Schedules'),
      h('div.page-head', h('h1', theirs(own)), main && stateBadge(main.schedule), main && actions(context, main.schedule)),
      main && pausedNotice(main.schedule),
      main && h('div.split', nextPanel(main.schedule, times), about(main.schedule, times?.words)),
      fires && firesPanel(name, own, fires.fires),
      main && panel('Its job', h('div', { 'data-keep': `job${main.schedule.revision}` }, jobTree(main.schedule.job))),
    ],
  };
}

/** The job of a schedule; a payload of JSON is shown with its branches. */
const jobTree = (job) => tree({ ...job, ...(job.payload ? { payload: parsed(job.payload) ?? job.payload } : {}) });

function actions(context, one) {
  const raw = rawJson(scheduleApi(one.group_name, one.name));
  if (!may('produce', one.group_name)) return h('div.actions', raw);
  const fit = Object.entries(SCHEDULE_ACTIONS).filter(([, { fits }]) => fits(one));
  return h('div.actions', fit.map(([action, { verb }]) => button(`${verb}…`, () => askSchedule(context, action, one))), link('Change…', `${schedulePage(one.group_name, one.name)}/edit`), raw);
}

function pausedNotice(one) {
  if (one.state !== 'paused') return null;
  const by = one.paused_by ? [' by ', theirs(one.paused_by)] : '';
  return h(
    'p.notice',
    icon('paused'),
    h('span', 'Paused', by, one.paused_at ? [' at ', when(one.paused_at)] : '', one.paused_because ? [': ', theirs(one.paused_because)] : '', one.note ? [': “', theirs(one.note), '”'] : '', '.'),
  );
}

/** The next times, in the zone of the schedule and in that of the page. */
function nextPanel(one, times) {
  const all = times?.times ?? [];
  const columns = [
    { label: one.zone, isHead: true, cell: (time) => h('span.mono', zoned(time.local)) },
    { label: here(), cell: (time) => when(time.at) },
    { label: 'In', isNumber: true, cell: (time) => until(time.at, now()).replace('in ', '') },
    all.some((time) => time.jitter) && { label: 'Jitter', isNumber: true, cell: (time) => (time.jitter ? `+${span(time.jitter / 1000)}` : '–') },
    all.some((time) => time.moved) && { label: 'Note', cell: (time) => (time.moved ? 'after a jump of the clock' : h('span.muted', '–')) },
  ];
  const body = all.length
    ? table({ caption: 'Next times', rows: all, keyOf: (time) => time.at, columns: columns.filter(Boolean) })
    : h('p.calm.muted', times ? (one.state === 'done' ? 'It is done: it never fires again.' : 'It has no next time.') : '');
  return panel(one.state === 'paused' ? 'Next times, once it is resumed' : 'Next times', body, null, { class: 'grow' });
}

/** @param {string[]} [words] those of its cron expressions */
function about(one, words) {
  const { counts } = one;
  const limits = [one.starts_at && ['From', when(one.starts_at)], one.ends_at && ['Until', when(one.ends_at)], one.max_fires && ['At most', counted(one.max_fires, 'job')]];
  return panel(
    'About',
    facts([
      ['Due', due(one)],
      words && ['In words', wordsOf(words, one.zone)],
      one.cron && ['Gap of the clock', one.gap === 'skip' ? 'it does not fire' : 'it fires right after it'],
      one.jitter ? ['Jitter', `up to ${span(one.jitter)}`] : null,
      ['While one runs', OVERLAPS[one.overlap] ?? one.overlap],
      ['Missed times', `${MISSED[one.missed] ?? one.missed}${one.missed === 'none' ? '' : `, of the last ${span(one.catch_up)}`}`],
      ...limits,
      one.pause_after ? ['Pauses after', `${counted(one.pause_after, 'failure')} in a row`] : null,
      ['Fired', `${exact(counts.fired)}, of which ${exact(counts.failed)} failed`],
      ['Skipped, missed', `${exact(counts.skipped)}, ${exact(counts.missed)}`],
      ['Last job', jobOf(one.group_name, one.last)],
      ['Changed', [when(one.updated_at), h('span.muted', `, revision ${one.revision}`)]],
    ]),
    null,
    { class: 'facts-panel' },
  );
}

/** What became of its last times, with why one made no job. @param {string} name @param {string} own @param {any[]} fires */
function firesPanel(name, own, fires) {
  const columns = [
    { label: 'For', isHead: true, cell: (fire) => when(fire.scheduled_for) },
    { label: 'Decided', cell: (fire) => when(fire.fired_at) },
    { label: 'What', kind: 'grow', cell: what },
    { label: 'Job', cell: (fire) => jobOf(name, fire) },
  ];
  const body = fires.length
    ? table({ caption: `Last times of ${own}`, rows: fires, keyOf: (fire) => `${fire.scheduled_for} ${fire.fired_at} ${fire.job ?? ''}`, columns })
    : h('p.calm.muted', 'It has not fired yet.');
  return panel('Last times', body, fires.length ? h('span.muted', 'the last 50 are kept') : null);
}
