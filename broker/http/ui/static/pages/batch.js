/** Batches: those of a group, and one with its counts, its callbacks and its members. */

import { batchApi, groupApi, may, now, query } from '../api.js';
import { h } from '../dom.js';
import { counted, exact, line, ms, percent, span } from '../format.js';
import { ENDS, ago, badge, batchPage, button, crumbs, empty, facts, groupPage, jobPage, link, panel, rawJson, theirs, when } from '../parts.js';
import { table } from '../table.js';
import { BATCH_ACTIONS, askBatch } from './batch_actions.js';
import { there } from './finding.js';
import { groupHead } from './group_head.js';
import { jobRows } from './job_rows.js';
import { pager } from './overview.js';

const UNFINISHED = ['delayed', 'queued', 'running'];
const CALLBACKS = { on_failed: 'At the first failure', on_succeeded: 'All succeeded', on_over: 'All ended' };
/** How many members are read for a page: more where only some of them are wanted. */
const [PAGE, SEARCHED] = [50, 200];

const sign = (batch) => badge(batch.state === 'open' ? 'queued' : batch.state, batch.state);

/** How many ended how. @param {Record<string, number>} counts */
const endsOf = (counts, ends) =>
  ends.filter((end) => counts[end]).map((end) => h('span', { class: end === 'failed' ? 'bad' : 'muted' }, `${exact(counts[end])} ${end}`));

/** A bar with how the members ended; its words are beside it. @param {Record<string, number>} counts */
function bar(counts) {
  let x = 0;
  const rects = ENDS.map((end) => {
    const width = (1000 * counts[end]) / Math.max(1, counts.total);
    x += width;
    return width > 0 && h('rect', { class: `end-${end}`, x: x - width, y: 0, width: Math.max(width, 4), height: 10 });
  });
  return h('svg.ends', { viewBox: '0 0 1000 10', preserveAspectRatio: 'none', 'aria-hidden': 'true' }, rects);
}

/** How far a batch is, as a bar and in words. */
function howFar({ counts }, isBrief = false) {
  const words = counts.total ? `${exact(counts.over)} of ${exact(counts.total)} ended` : 'no members';
  return h(
    'span.far-batch',
    bar(counts),
    h('span', isBrief || !counts.total ? words : `${words}, ${percent(counts.over, counts.total)}`),
    endsOf(counts, isBrief ? ENDS.slice(1) : ENDS),
  );
}

/** The batches of a group, the newest first. */
export function batches(context) {
  const [name] = context.args;
  const cursor = context.query.get('cursor') ?? '';
  return {
    title: `Batches · ${name}`,
    sources: {
      main: { url: `${groupApi(name)}/batches${query({ n: PAGE, order: 'desc', cursor })}`, every: cursor ? 0 : 5 },
      group: { url: groupApi(name), every: 10, fallback: { group: null } },
    },
    view: ({ main, group }) => [
      groupHead(context, name, group?.group, '/batches'),
      main && h('section.panel', main.batches.length ? rows(name, main.batches) : none(name), pager(context, main)),
    ],
  };
}

/** @param {string} name */
const none = (name) =>
  empty(
    'This group has no batches.',
    h('p', 'A batch counts how its jobs end, and makes other jobs when the first one has failed, when all have succeeded, or when all have ended.'),
    may('produce', name) && link('Enqueue one', `${groupPage(name)}/enqueue?batch=new`),
  );

/** @param {string} name @param {any[]} all */
function rows(name, all) {
  return table({
    caption: `Batches of ${name}, the newest first`,
    rows: all,
    keyOf: (batch) => batch.id,
    columns: [
      { label: 'Batch', isHead: true, cell: (batch) => h('a.mono', { href: batchPage(name, batch.id) }, batch.id) },
      { label: 'Name', kind: 'cut grow', cell: (batch) => (batch.name ? theirs(batch.name) : h('span.muted', '–')) },
      { label: 'State', cell: sign },
      { label: 'Members', kind: 'grow', cell: (batch) => howFar(batch, true) },
      { label: 'Created', isNumber: true, cell: (batch) => when(batch.created_at) },
      { label: 'Ended', isNumber: true, cell: (batch) => when(batch.ended_at) },
    ],
  });
}

/** One batch. */
export function batch(context) {
  const [name, id] = context.args;
  const status = context.query.get('status') ?? '';
  const wanted = status === 'unfinished' ? UNFINISHED : status;
  const cursor = context.query.get('cursor') ?? '';
  const path = batchApi(name, id);
  return {
    title: `Batch ${id}`,
    sources: {
      main: { url: path, live: `batch:${name}/${id}` },
      members: { url: `${path}/jobs${query({ n: status ? SEARCHED : PAGE, status: wanted, cursor })}`, every: cursor ? 0 : 5, follows: 'main' },
    },
    named: ({ main }) => `Batch ${main.batch.name || id}`,
    say: ({ main }) => `${exact(main.batch.counts.over)} of ${exact(main.batch.counts.total)} ended`,
    missing: () => [
      crumbs(name, 'Batches'),
      h('h1.mono', id),
      empty(
        'There is no such batch in this group.',
        h('p', 'A batch is kept as long as the last of its members. A callback may be of another group than its batch.'),
        link(`Batches of ${name}`, `${groupPage(name)}/batches`),
      ),
    ],
    view: ({ main, members }) => [
      crumbs(name, 'Batches'),
      h('div.page-head', main?.batch.name ? h('h1', theirs(main.batch.name)) : h('h1.mono', id), main && sign(main.batch), main && actions(context, main.batch)),
      main && h('div.split', progressPanel(context, main.batch), about(main.batch)),
      main && membersPanel(context, main.batch, members),
    ],
  };
}

function actions(context, one) {
  const raw = rawJson(batchApi(one.group_name, one.id));
  if (!may('produce', one.group_name)) return h('div.actions', raw);
  const fit = Object.entries(BATCH_ACTIONS).filter(([, { fits }]) => fits(one));
  return h(
    'div.actions',
    one.state === 'open' && link('Add jobs…', `${groupPage(one.group_name)}/enqueue?batch=${one.id}`),
    fit.map(([action, { verb }]) => button(`${verb}…`, () => askBatch(context, action, one))),
    raw,
  );
}

/** What a batch does now. */
function doing(one) {
  if (one.state === 'open') return 'It is open: more jobs may be added, until somebody closes it.';
  if (one.stopped && one.counts.over < one.counts.total) return 'Its unfinished members are cancelled, step by step.';
  if (one.state === 'running') return `It is closed, and waits for the end of ${counted(one.counts.total - one.counts.over, 'member')}.`;
  return one.ended_at ? '' : 'All members have ended. What follows is under way.';
}

/** How old the states of callbacks may be, ms. */
const LOOK_MS = 5000;

/** The jobs of the callbacks by id, read again until they have ended; one may be of a group that this person may not read. */
function callbackJobs(context, one) {
  const { state } = context;
  const jobs = (state.callbackJobs ??= {});
  const open = Object.values(one.callbacks).filter((id) => !(id in jobs) || UNFINISHED.includes(jobs[id]?.status));
  const isNew = open.some((id) => !(id in jobs));
  if (open.length && !state.isLooking && (isNew || now() - state.lookedAt > LOOK_MS)) {
    Object.assign(state, { isLooking: true, lookedAt: now() });
    Promise.all(open.map(async (id) => (jobs[id] = (await there(`v1/jobs/${id}`))?.job)))
      .catch(() => open.forEach((id) => (jobs[id] ??= undefined))) // the store is away: their ids are shown
      .finally(() => {
        state.isLooking = false;
        context.update();
      });
  }
  return jobs;
}

/** A callback: its state and image, and the link to it. @param {string} id @param {any} [job] */
const callbackLink = (id, job) =>
  job
    ? h('span.callback', badge(job.status), theirs(line(job.image ?? '', 60)), h('a.mono', { href: jobPage(job.group_name, id) }, id))
    : h('a.mono', { href: `ui/find?q=${id}` }, id);

function progressPanel(context, one) {
  const jobs = callbackJobs(context, one);
  const created = Object.entries(one.callbacks);
  return panel(
    'How far it is',
    [
      h('div.far-large', howFar(one)),
      doing(one) && h('p.calm.muted', doing(one)),
      h(
        'div.callbacks',
        h('h3', 'Callbacks'),
        created.length
          ? facts(created.map(([callback, id]) => [CALLBACKS[callback] ?? callback, callbackLink(id, jobs[id])]))
          : h('p.muted', 'None was created yet, or it has none.'),
      ),
    ],
    null,
    { class: 'grow' },
  );
}

function about(one) {
  const rest = one.end_before && ms(one.end_before) - now();
  return panel(
    'About',
    facts([
      ['Group', h('a', { href: groupPage(one.group_name) }, theirs(one.group_name))],
      one.name && ['Id', h('span.mono', one.id)],
      ['Created', [when(one.created_at), !one.ended_at && [h('span.muted', ' · '), ago(one.created_at)]]],
      one.end_before && ['Must end', [when(one.end_before), h('span.muted', one.ended_at ? '' : rest > 0 ? ` in ${span(rest / 1000)}` : ' passed')]],
      one.ended_at && ['Ended', [when(one.ended_at), h('span.muted', ` after ${span((ms(one.ended_at) - ms(one.created_at)) / 1000)}`)]],
      one.stopped && ['Cancelled', one.stopped === 'end_within' ? 'it did not end in time' : 'by hand'],
      one.retry_at && ['Repeated by', h('a.mono', { href: batchPage(one.group_name, one.retry_at) }, one.retry_at)],
      one.retry_of && ['Repeats', h('a.mono', { href: batchPage(one.group_name, one.retry_of) }, one.retry_of)],
    ]),
    null,
    { class: 'facts-panel' },
  );
}

function membersPanel(context, one, members) {
  const status = context.query.get('status') ?? '';
  const { counts } = one;
  const choices = [['', 'all', counts.total], ['unfinished', 'not ended', counts.total - counts.over], ...ENDS.map((end) => [end, end, counts[end]])];
  const choice = choices.map(([key, word, n]) =>
    h('a', { href: context.href({ status: key, cursor: '' }), 'aria-current': key === status ? 'true' : null }, `${word} ${exact(n)}`),
  );
  const jobs = members?.jobs ?? [];
  return panel(
    'Members',
    [
      h('nav.choice.failed-choice', { 'aria-label': 'Members' }, choice),
      members && (jobs.length ? jobRows(one.group_name, jobs, `Members of the batch ${one.id}`) : nobody(context, members, status)),
      members && pager(context, members),
    ],
    h('span.muted', 'by creation'),
  );
}

/** @param {string} status */
function nobody(context, members, status) {
  if (members.cursor) return empty(`None of the ${SEARCHED} members that were looked at is here.`, link('Look further', context.href({ cursor: members.cursor })));
  return h('p.calm.muted', status ? 'No member is here.' : 'No member is kept.');
}
