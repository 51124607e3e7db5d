/** A group: how it goes, and its jobs with filters that live in the address. */

import { groupApi, may, query } from '../api.js';
import { h } from '../dom.js';
import { counted, exact, rateText, span } from '../format.js';
import { STATUSES, empty, facts, field, groupPage, icon, link, num, panel, select, small, theirs } from '../parts.js';
import { ACTIONS, askBulk, askSome } from './actions.js';
import { flowPanel, windowOf } from './flow_panel.js';
import { groupHead } from './group_head.js';
import { jobRows } from './job_rows.js';
import { pager } from './overview.js';
import { jobKeysPanel } from './job_keys.js';
import { keysPanel } from './ties.js';

const FILTERS = ['image', 'reason', 'cause', 'worker', 'text', 'created_after', 'created_before', 'completed_after', 'completed_before'];

/** Whether only jobs are wanted that failed for good: they were not retried, neither by a policy nor by hand. @param {URLSearchParams} q */
const isDead = (q) => q.get('dead') === '1';
/** The status of the jobs that are wanted, or ''. @param {URLSearchParams} q */
const statusOf = (q) => (isDead(q) ? 'failed' : (q.get('status') ?? ''));

/** The filters of the address, as the API takes them. @param {URLSearchParams} q */
export function filtersOf(q) {
  /** @type {Record<string, any>} */
  const filters = { status: q.get('status') ? [q.get('status')] : undefined };
  for (const key of FILTERS) {
    const value = q.get(key);
    if (value) filters[key] = /_(after|before)$/.test(key) && !/Z|[+-]\d\d:\d\d$/.test(value) ? new Date(value).toISOString() : value;
  }
  if (q.get('retried') === '0') filters.retried = 0;
  if (isDead(q)) Object.assign(filters, { status: undefined, dead: 1 });
  return filters;
}

export function group(context) {
  const [name] = context.args;
  const q = context.query;
  const window = windowOf(context);
  context.state.chosen ??= new Set();
  const list = `${groupApi(name)}/jobs${query({ ...filtersOf(q), n: 50, order: q.get('order') ?? 'desc', brief: 1, cursor: q.get('cursor') ?? '', looks: q.get('looks') ?? '' })}`;
  const rowsNow = () => (context.source('jobs')?.data?.jobs ?? []).filter((job) => context.state.chosen.has(job.id));
  const key = (action) => () => may('produce', name) && offer(context, action, name, rowsNow());
  return {
    title: name,
    sources: {
      main: { url: groupApi(name), live: `group:${name}` },
      jobs: { url: list, every: q.get('cursor') ? 0 : 5, follows: 'main' },
      stats: { url: `${groupApi(name)}/stats?window=${window}`, every: 20, fallback: {} },
      keys: { url: `${groupApi(name)}/unique${query({ n: 20, cursor: q.get('keys') ?? '' })}`, every: 5, follows: 'main', fallback: {} },
      jobKeys: { url: `${groupApi(name)}/keys${query({ n: 20 })}`, every: 5, follows: 'main', fallback: {} },
    },
    keys: { r: key('retry'), c: key('cancel'), d: key('delete') },
    missing: () => missing(context, name),
    say: ({ main }) => `${name}: ${counted(main.group.counts.queued, 'job')} queued, ${main.group.counts.running} running, ${main.group.counts.failed} failed`,
    view: ({ main, jobs, stats, keys, jobKeys }) => [
      groupHead(context, name, main?.group, ''),
      statusTabs(context, main?.group),
      h('div.split', flowPanel(context, stats, 'No counts in this time.'), settingsFacts(name, main?.group, stats)),
      h(
        'section.panel',
        failedChoice(context),
        filters(context),
        selectionBar(context, name, jobs, main?.group),
        jobs && (jobs.jobs.length ? jobRows(name, jobs.jobs, `Jobs of ${name}`, selectionOf(context, name)) : nothing(context, jobs, name)),
        jobs && pager(context, jobs),
      ),
      jobKeysPanel(name, main?.group, jobKeys),
      keysPanel(context, name, keys),
    ],
  };
}

/** @param {string} name */
function missing(context, name) {
  const words = h('p', 'A group is made by its first job, or by its settings.');
  const offer = may('produce', name) && link('Enqueue a job', `${groupPage(name)}/enqueue`);
  return [groupHead(context, name, null, ''), empty('There is no such group yet.', words, offer)];
}

function statusTabs(context, group) {
  const now_ = statusOf(context.query);
  const tab = (status) =>
    h(
      'a.status-tab',
      { href: context.href({ status: status === now_ ? '' : status, dead: '', cursor: '' }), 'aria-current': status === now_ ? 'true' : null },
      icon(status),
      h('span', status),
      h('b', group ? num(group.counts[status]) : '–'),
    );
  return h('nav.status-tabs', { 'aria-label': 'Status' }, STATUSES.map(tab));
}

/** Of the failed jobs all, or those that nobody and nothing tried again. */
function failedChoice(context) {
  const q = context.query;
  if (statusOf(q) !== 'failed') return null;
  const to = (text, href, isHere) => h('a', { href, 'aria-current': isHere ? 'true' : null }, text);
  return h(
    'nav.choice.failed-choice',
    { 'aria-label': 'Failed jobs' },
    to('all failed', context.href({ status: 'failed', dead: '', cursor: '' }), !isDead(q)),
    to('failed for good', context.href({ status: '', dead: 1, cursor: '' }), isDead(q)),
  );
}

/** @param {string} name */
function settingsFacts(name, group, stats) {
  const times = (t) =>
    t?.n
      ? h('span', { title: `of ${exact(t.n)}${stats?.sampled ? ', a sample' : ''}` }, `${span(t.p50)} · ${span(t.p95)} · ${span(t.p99)}`)
      : h('span.muted', 'no sample');
  return panel(
    'How it goes',
    facts([
        ['Wait p50 · p95 · p99', times(stats?.wait)],
        ['Run p50 · p95 · p99', times(stats?.run)],
        ['At once', group?.max_concurrency ? `${exact(group.counts.running)} of ${exact(group.max_concurrency)}` : 'no limit'],
        ['Rate', group?.rate_limit ? rateText(group.rate_limit) + (group.rate_limit.per ? '' : ' a second') : 'no limit'],
        group?.max_jobs && ['Unfinished', `${exact(group.max_jobs)} at most`],
        group?.max_bytes && ['Unfinished bytes', `${exact(group.max_bytes)} at most`],
        group?.priority_boost && ['A priority', `leads by ${exact(group.priority_boost)} jobs`],
        ['Deliveries', group ? `${group.delivery_limit} at most` : '–'],
        ['Kept', group ? `failed ${span(group.retention.failed)}, others ${span(group.retention.succeeded)}` : '–'],
        group?.image ? ['Image', theirs(group.image)] : null,
        group?.start_within && ['Must start within', span(group.start_within)],
        group?.key_concurrency && ['Of one key, at most', `${group.key_concurrency}${group.key_strict ? ', strict' : ''}`],
        group?.fair_keys && ['Its keys', group.asleep ? 'take turns once groups do' : 'take turns'],
        group?.weight > 1 && ['In fair order', `${group.weight} jobs a turn`],
        group?.dead_letter_to && ['Dead letters', h('a', { href: groupPage(group.dead_letter_to) }, theirs(group.dead_letter_to))],
        group?.note && !group.paused ? ['Note', theirs(group.note)] : null,
    ]),
    may('admin', name) && h('a', { href: `${groupPage(name)}/settings` }, 'Change'),
    { class: 'facts-panel' },
  );
}

function order(context) {
  const onChange = (event) => context.go(context.href({ order: event.target.value, cursor: '' }));
  const options = { desc: 'newest first', asc: 'oldest first' };
  return field('Order', select('order', Object.entries(options), context.query.get('order') ?? 'desc', { onChange }), undefined, 'compact');
}

function filters(context) {
  const q = context.query;
  const apply = (event) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget.form ?? event.currentTarget);
    const texts = Object.fromEntries(FILTERS.map((key) => [key, String(form.get(key) ?? '').trim()]));
    context.go(context.href({ ...texts, retried: form.get('hide') ? '0' : '', cursor: '', looks: '' }));
  };
  const text = (key, label, props = {}) => field(label, h('input', { name: key, value: q.get(key) ?? '', ...props }), undefined, `compact f-${key}`);
  const isSet = FILTERS.some((key) => q.get(key)) || q.get('retried');
  const form = h(
    'form.filters',
    {
      'data-keep': `filters${[...FILTERS, 'retried', 'order'].map((key) => q.get(key)).join('|')}`,
      role: 'search',
      'aria-label': 'Filter jobs',
      onSubmit: apply,
    },
    text('image', 'Image'),
    text('reason', 'Reason'),
    q.get('cause') && text('cause', 'Cause'),
    text('text', 'Text in payload', { maxlength: 256 }),
    text('worker', 'Worker'),
    text('created_after', 'Created after', { type: 'datetime-local' }),
    text('created_before', 'Created before', { type: 'datetime-local' }),
    text('completed_after', 'Ended after', { type: 'datetime-local' }),
    text('completed_before', 'Ended before', { type: 'datetime-local' }),
    order(context),
    h('label.check-line', h('input', { type: 'checkbox', name: 'hide', checked: q.get('retried') === '0', onChange: apply }), ' hide retried'),
    h(
      'div.filter-buttons',
      h('button', { type: 'submit', class: 'button' }, 'Filter'),
      isSet && link('Clear', context.href(Object.fromEntries([...FILTERS, 'retried', 'cursor', 'looks'].map((key) => [key, ''])))),
    ),
  );
  return filterBox(context, isSet, form);
}

/** On a phone the filters are shown when they are asked for. */
function filterBox(context, isSet, form) {
  const { state } = context;
  const show = () => {
    state.showsFilters = !state.showsFilters;
    context.update();
  };
  const isOpen = Boolean(isSet || state.showsFilters);
  return h(
    'div',
    { class: `filter-box ${isOpen ? 'open' : ''}` },
    !isSet && small('Filters', show, { class: 'button small phone-only', 'aria-expanded': String(isOpen) }),
    form,
  );
}

/** @param {string} name @param {any[]} chosen */
function offer(context, action, name, chosen) {
  if (!chosen.length) return askBulk(context, action, name, bulkFilters(context, action));
  askSome(context, action, name, chosen, () => {
    context.state.chosen.clear();
    context.reload();
  });
}

/** Filters of the address; without a status, those that the action works on. @param {keyof typeof ACTIONS} action */
function bulkFilters(context, action) {
  const filters = filtersOf(context.query);
  delete filters.worker;
  if (filters.dead) Object.assign(filters, { dead: undefined, status: ['failed'], retried: 0 });
  if (filters.retried === 0) filters.retried = false;
  return { ...filters, status: filters.status ?? (action === 'retry' ? ['failed'] : ACTIONS[action].from) };
}

/** @param {string} name */
function selectionBar(context, name, jobs, group) {
  const chosen = (jobs?.jobs ?? []).filter((job) => context.state.chosen.has(job.id));
  const status = statusOf(context.query);
  const fit = Object.entries(ACTIONS).filter(([, { from }]) => !status || from.includes(status));
  const searches = [...FILTERS, 'retried', 'dead'].some((key) => context.query.get(key));
  const total = group && !searches ? STATUSES.reduce((sum, key) => sum + (!status || key === status ? group.counts[key] : 0), 0) : undefined;
  const looked =
    searches && jobs?.looked !== undefined
      ? h(
          'span.muted',
          `looked at ${exact(jobs.looked)} of ${exact(jobs.of)}`,
          jobs.looked < jobs.of && jobs.cursor ? [' · ', h('a', { href: context.href({ looks: 10000 }) }, 'look at 10,000')] : ' ✓',
        )
      : null;
  return h(
    'div.bar',
    h(
      'span.bar-count',
      chosen.length
        ? h('b', `${chosen.length} selected`)
        : total !== undefined
          ? counted(total, 'job')
          : jobs
            ? `${jobs.jobs.length}${jobs.cursor ? '+' : ''} shown`
            : '\u00a0',
    ),
    looked,
    may('produce', name) &&
      (chosen.length || !context.query.get('worker')) &&
      h(
        'div.push.row',
        fit.map(([action, { verb }]) =>
          small(chosen.length ? `${verb} ${chosen.length}…` : `${verb} all…`, () => offer(context, action, name, chosen)),
        ),
      ),
  );
}

/** @param {string} name */
const selectionOf = (context, name) =>
  may('produce', name) ? { chosen: context.state.chosen, onChange: context.update, label: 'job' } : undefined;

/** @param {string} name */
function nothing(context, jobs, name) {
  if (jobs.cursor) return empty(`None of the ${exact(jobs.looked ?? 0)} jobs looked at matches.`, link('Look further', context.href({ cursor: jobs.cursor })));
  const isFiltered = FILTERS.some((key) => context.query.get(key)) || statusOf(context.query);
  return empty(
    isFiltered ? 'No job matches.' : 'This group has no jobs.',
    isFiltered ? link('Show all jobs', groupPage(name)) : may('produce', name) && link('Enqueue one', `${groupPage(name)}/enqueue`),
  );
}
