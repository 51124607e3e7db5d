/** The overview, and the list of groups: what goes on, what needs a look, and every group in a row. */

import { may, now, query, root } from '../api.js';
import { spark } from '../chart.js';
import { h } from '../dom.js';
import { counted, ms, percent, rate, span } from '../format.js';
import { badge, code, empty, field, groupPage, icon, link, num, panel, select, small, theirs } from '../parts.js';
import { table } from '../table.js';
import { pauseGroup } from './actions.js';
import { flowPanel, windowOf } from './flow_panel.js';

const ONLY = ['failing', 'stuck', 'paused', 'busy'];

function spec(context) {
  const { query: q } = context;
  const values = {
    n: 50,
    sort: q.get('sort') ?? 'oldest',
    order: q.get('order') ?? '',
    q: q.get('q') ?? '',
    only: q.get('only') ?? '',
    cursor: q.get('cursor') ?? '',
  };
  return { url: `v1/overview${query(values)}`, live: `overview${query(values)}` };
}

export function overview(context) {
  return {
    title: 'Overview',
    sources: { main: spec(context), stats: { url: `v1/stats?window=${windowOf(context)}`, every: 20, fallback: {} } },
    say: ({ main }) => `${counted(main.totals.queued, 'job')} queued, ${main.totals.running} running`,
    view: ({ main, stats }) => {
      const isNew = main && !main.totals.groups && !main.groups.length && !isFiltered(context);
      return [
        heading('Overview'),
        main ? numbers(main, stats, windowOf(context) === '1h') : waitingNumbers(),
        isNew ? firstJob() : [h('div.split', flowPanel(context, stats, 'No counts yet: they come 10 s after the first job.'), alerts(main)), list(context, main, 'Groups')],
      ];
    },
  };
}

export function groups(context) {
  return {
    title: 'Groups',
    sources: { main: spec(context) },
    view: ({ main }) => [
      heading('Groups'),
      list(context, main, ''),
    ],
  };
}

/** @param {string} title */
const heading = (title) => h('div.page-head', h('h1', title), may('produce') && h('div.actions', link('Enqueue…', 'ui/enqueue')));

const isFiltered = (context) => ['q', 'only', 'cursor'].some((key) => context.query.get(key));

/** @param {string} label @param {string} [href] @param {string} [kind] */
function tile(label, value, more, href, kind = '') {
  const body = [h('span.tile-label', label), h('span.tile-value', value), h('span.tile-more', more ?? '\u00a0')];
  return href ? h('a', { class: `tile ${kind}`, href }, body) : h('div', { class: `tile ${kind}` }, body);
}

/** What failed and ended in the last hour: exactly if the chart shows it. */
function lastHour(rates, stats, isHour) {
  if (!isHour || !stats?.slots?.length) return [rates.failed_1h, rates.ended_1h];
  const sum = (key) => stats.slots.reduce((total, slot) => total + slot[key], 0);
  return [sum('failed'), sum('failed') + sum('succeeded')];
}

function numbers(main, stats, isHour) {
  const { totals, rates, workers } = main;
  const [failed, ended] = lastHour(rates, stats, isHour);
  const time = (value) => (value?.n ? `p95 ${span(value.p95)}` : 'no sample yet');
  return h(
    'div.tiles',
    null,
    tile('Queued', num(totals.queued), ['oldest ', span(main.oldest_s)], 'ui/groups?sort=queued&order=desc', main.oldest_s > 60 ? 'is-late' : ''),
    tile(
      'Running',
      num(totals.running),
      workers?.slots ? `of ${counted(workers.slots, 'slot')}` : workers ? 'no worker announced' : 'in your groups',
      'ui/workers',
    ),
    tile('Delayed', num(totals.delayed), 'due later', 'ui/groups?sort=delayed&order=desc'),
    tile(
      'Failed 1 h',
      num(failed),
      `${percent(failed, ended)} of what ended`,
      'ui/groups?only=failing',
      failed ? 'is-failed' : '',
    ),
    tile('In', `${rate(rates.in)}/s`, ['wait ', time(stats?.wait)]),
    tile('Out', `${rate(rates.out)}/s`, ['run ', time(stats?.run)]),
  );
}

function waitingNumbers() {
  return h(
    'div.tiles',
    ['Queued', 'Running', 'Delayed', 'Failed 1 h', 'In', 'Out'].map((label) => tile(label, h('span.muted', '–'))),
  );
}

function alerts(main) {
  const all = main?.alerts ?? [];
  const row = (alert) =>
    h(
      'li',
      icon(/failing|lost|store/.test(alert.code) ? 'failed' : alert.code === 'paused' ? 'paused' : 'warn'),
      alert.group ? h('a.plain', { href: groupPage(alert.group) }, alert.text) : h('span', alert.text),
    );
  return panel(
    'Needs a look',
    all.length ? h('ul.alerts', all.slice(0, 8).map(row)) : h('p.calm', icon('ok'), h('span', main ? 'Nothing stands out.' : '')),
    undefined,
    { class: 'alerts-panel' },
  );
}

/** @param {string} title */
function list(context, main, title) {
  const body = [
    filters(context, main),
    main && (main.groups.length ? rows(context, main) : empty('No group matches.', link('Show all groups', context.path ? 'ui/groups' : 'ui/'))),
    main && pager(context, main),
  ];
  return title ? panel(title, body, age(main)) : h('section.panel', body);
}

const age = (main) => main?.as_of && h('span.muted', `counts ${span(Math.max(0, Math.round((now() - ms(main.as_of)) / 1000)))} old`);

function filters(context, main) {
  const only = context.query.get('only') ?? '';
  const onInput = (event) => {
    clearTimeout(context.state.typing);
    const text = event.target.value.trim();
    context.state.typing = setTimeout(() => context.go(context.href({ q: text, cursor: '' }), true), 250);
  };
  const onSort = (event) => context.go(context.href({ sort: event.target.value, order: event.target.value === 'name' ? 'asc' : 'desc', cursor: '' }));
  const sorts = [
    ['oldest', 'oldest first'],
    ['queued', 'most queued'],
    ['failed', 'most failed'],
    ['in', 'most in'],
    ['name', 'name'],
  ];
  return h(
    'div.filters',
    null,
    h('input', { type: 'search', name: 'q', value: context.query.get('q') ?? '', placeholder: 'Name', 'aria-label': 'Part of the name', onInput }),
    h(
      'div.chips',
      { role: 'group', 'aria-label': 'Only' },
      ONLY.map((word) =>
        h('a', { href: context.href({ only: word === only ? '' : word, cursor: '' }), class: 'chip', 'aria-current': word === only ? 'true' : null }, word),
      ),
    ),
    field('Sort', select('sort', sorts, context.query.get('sort') ?? 'oldest', { onChange: onSort }), undefined, 'inline phone-only'),
    main &&
      h(
        'span.muted.push',
        counted(main.matched, 'group'),
        isFiltered(context) ? ' match' : '',
        main.away?.length ? `; ${counted(main.away.length, 'partition')} did not answer` : '',
        main.is_whole === false ? '; there are more' : '',
      ),
  );
}

function rows(context, main) {
  return table({
    caption: 'Groups with their counts',
    rows: main.groups,
    keyOf: (row) => row.name,
    sort: context.query.get('sort') ?? 'oldest',
    order: context.query.get('order') ?? 'desc',
    sortHref: (sort, order) => context.href({ sort, order, cursor: '' }),
    kindOf: (row) => (row.settings.paused ? 'is-paused' : ''),
    columns: columns(context),
  });
}

/** @returns {import('../table.js').Column[]} */
function columns(context) {
  const count = (key) => (row) => h('a.plain', { href: `${groupPage(row.name)}?status=${key}` }, num(row.counts[key]));
  const running = (row) =>
    h(
      'a.plain',
      { href: `${groupPage(row.name)}?status=running` },
      num(row.counts.running),
      row.settings.max_concurrency ? h('span.muted', ` / ${row.settings.max_concurrency}`) : null,
    );
  const failed = ({ name, rates }) =>
    h('a', { class: `plain ${rates.failed_1h ? 'bad' : ''}`, href: `${groupPage(name)}?status=failed` }, num(rates.failed_1h ?? 0));
  return [
    {
      label: 'Group',
      sort: 'name',
      isHead: true,
      cell: (row) => [h('a.strong', { href: groupPage(row.name) }, theirs(row.name)), row.settings.paused && badge('paused')],
    },
    { label: 'Queued', sort: 'queued', isNumber: true, cell: count('queued') },
    { label: 'Running', sort: 'running', isNumber: true, cell: running },
    { label: 'Delayed', sort: 'delayed', isNumber: true, cell: count('delayed') },
    { label: 'Failed 1 h', sort: 'failed', isNumber: true, cell: failed },
    {
      label: 'Oldest',
      sort: 'oldest',
      isNumber: true,
      cell: ({ name, oldest_s: s }) =>
        s ? h('a', { class: `plain ${s > 600 ? 'late' : ''}`, href: `${groupPage(name)}?status=queued&order=asc` }, span(s)) : h('span.muted', '–'),
    },
    { label: 'In/s', sort: 'in', isNumber: true, kind: 'wide', cell: (row) => rate(row.rates.in) },
    { label: 'Out/s', sort: 'out', isNumber: true, kind: 'wide', cell: (row) => rate(row.rates.out) },
    { label: 'Last hour', kind: 'spark-cell', cell: (row) => (row.spark?.some(Boolean) ? spark(row.spark, 'Jobs out a minute') : h('span.muted', '–')) },
    { label: 'Action', kind: 'act', cell: (row) => may('admin', row.name) && pauseButton(context, row) },
  ];
}

function pauseButton(context, { name, settings: { paused } }) {
  const verb = paused ? 'Resume' : 'Pause';
  return small(verb, () => pauseGroup(context, name, paused), { 'aria-label': `${verb} ${name}` });
}

export function pager(context, main) {
  const isLater = context.query.get('cursor');
  if (!isLater && !main.cursor) return null;
  return h(
    'nav.pager',
    { 'aria-label': 'Pages of the list' },
    isLater && link('First page', context.href({ cursor: '' })),
    main.cursor && link('Next page', context.href({ cursor: main.cursor })),
  );
}

/** What somebody sees who has no job yet. */
function firstJob() {
  const at = root.href.replace(/\/$/, '');
  const commands = [
    `titan worker --broker-url ${at} --run hello='echo hello'`,
    `titan job enqueue demo --broker-url ${at} --image hello`,
    `titan job list demo --broker-url ${at}`,
  ];
  return panel(
    'The first job',
    h(
      'div.first',
      h('p', 'This broker has no group yet. Three commands make one, with a worker and a job that it runs:'),
      commands.map((command, n) => h('div.step', h('span.step-n', { 'aria-hidden': 'true' }, n + 1), code(command))),
      h(
        'p.muted',
        'It shows up here within 3 s. ',
        may('produce') && ['Or ', h('a', { href: 'ui/enqueue' }, 'enqueue it here'), '. '],
        h('a', { href: 'ui/tutorial' }, 'The tutorial'),
        ' goes on from there, and ',
        h('a', { href: 'ui/docs' }, 'the reference'),
        ' has every call.',
      ),
    ),
  );
}
