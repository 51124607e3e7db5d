/** Bulk actions: what runs, how far it is, and how to stop it. */

import { change, may } from '../api.js';
import { ask } from '../dialog.js';
import { h } from '../dom.js';
import { counted, exact, percent, rate } from '../format.js';
import { ago, badge, empty, facts, groupPage, panel, progress, small, theirs } from '../parts.js';
import { table } from '../table.js';
import { changeWords } from './bulk_changes.js';
import { askNewBulk } from './bulk_form.js';
import { pager } from './overview.js';

export function bulks(context) {
  const cursor = context.query.get('cursor');
  return {
    title: 'Bulk',
    sources: { main: { url: `v1/bulk${cursor ? `?cursor=${encodeURIComponent(cursor)}` : ''}`, every: 2 } },
    view: ({ main }) => [
      h('div.page-head', h('h1', 'Bulk'), may('produce') && h('div.actions', small('New…', () => askNewBulk(context)))),
      main && h('section.panel', main.bulks.length ? rows(context, main.bulks) : none(), pager(context, main)),
    ],
  };
}

const FILTERS = ['status', 'image', 'reason', 'cause', 'text', 'created_after', 'created_before', 'completed_after', 'completed_before', 'older_than', 'retried', 'ids'];

const none = () =>
  empty(
    'Nothing runs in bulk, and nothing did in the last 7 days.',
    h(
      'p',
      'Filter the jobs of a group and use ',
      h('b', 'Retry all'),
      ', ',
      h('b', 'Cancel all'),
      ' or ',
      h('b', 'Delete all'),
      ': the broker does it at a rate that you choose, goes on after a crash, and can be stopped here.',
    ),
  );

function about(bulk) {
  const words = FILTERS.filter((key) => ![undefined, null, ''].includes(bulk[key]) && bulk[key].length !== 0).map(
    (key) => wordsOf(key, bulk[key]),
  );
  return [
    bulk.dry_run && h('span.muted', 'dry run: '),
    h('b', bulk.action),
    ' of ',
    h('a', { href: groupPage(bulk.group) }, theirs(bulk.group)),
    words.length > 0 && h('span.muted', ' with ', theirs(words.join(', '))),
  ];
}

function wordsOf(key, value) {
  if (key === 'retried') return value ? 'retried' : 'not retried';
  return key === 'ids' ? counted(value.length, 'id') : `${key.replace('_', ' ')} ${value}`;
}

const isRunning = (bulk) => ['running', 'waiting', 'paused'].includes(bulk.state);

function stop(context, bulk) {
  if (!isRunning(bulk) || !may('produce', bulk.group)) return null;
  return small(
    'Stop…',
    () =>
      ask({
        title: 'Stop this bulk action?',
        verb: 'Stop',
        isDangerous: true,
        text: h('p', `${exact(bulk.done ?? 0)} are done and stay as they are. The rest is left alone.`),
        act: async () => {
          await change('DELETE', `v1/bulk/${encodeURIComponent(bulk.id)}`);
          return 'It stops.';
        },
        after: () => context.reload(),
      }),
    { 'aria-label': `Stop ${bulk.action} of ${bulk.group}` },
  );
}

const total = (counts) => Object.values(counts ?? {}).reduce((sum, n) => sum + n, 0);

function howFar(bulk) {
  if (bulk.dry_run) return `${counted(bulk.matched, 'job')} would be touched`;
  const left = Math.max(0, bulk.matched - bulk.done - total(bulk.skipped) - total(bulk.refused));
  const ofAll = ['stopped', 'failed'].includes(bulk.state) ? [bulk.done, bulk.matched] : [bulk.looked - left, Math.max(bulk.about, bulk.looked)];
  const [seen, all] = bulk.state === 'done' ? [1, 1] : ofAll;
  return h(
    'span.far',
    progress(seen, all, `${bulk.action} of ${bulk.group}`),
    h('span', ` ${percent(seen, all)}`),
    h('span.muted', ` ${exact(bulk.done)} of ${counted(Math.max(bulk.matched, bulk.done), 'job')} done`),
  );
}

const sign = (bulk) => badge({ running: 'running', waiting: 'delayed', paused: 'paused', done: 'succeeded', stopped: 'cancelled', failed: 'failed' }[bulk.state] ?? 'queued', bulk.state);

/** @param {string} tail */
const sums = (words, tail) =>
  Object.entries(words ?? {})
    .map(([word, n]) => `${exact(n)} ${word.replaceAll('_', ' ')}${tail}`)
    .join(', ') || '–';

/** @param {any[]} all */
function rows(context, all) {
  return table({
    caption: 'Bulk actions, the newest first',
    rows: all,
    keyOf: (bulk) => bulk.id,
    columns: [
      { label: 'Bulk', isHead: true, cell: (bulk) => h('a.mono', { href: `ui/bulk/${encodeURIComponent(bulk.id)}` }, bulk.id) },
      { label: 'What', kind: 'grow', cell: about },
      { label: 'State', cell: sign },
      { label: 'Progress', cell: howFar },
      { label: 'A second', isNumber: true, cell: (bulk) => (isRunning(bulk) ? rate(bulk.per_second) : '–') },
      { label: 'By', cell: (bulk) => theirs(bulk.by || '–') },
      { label: 'Started', isNumber: true, cell: (bulk) => ago(bulk.created_at) },
      { label: 'Action', kind: 'act', cell: (bulk) => stop(context, bulk) },
    ],
  });
}

export function bulkOne(context) {
  const [id] = context.args;
  return {
    title: `Bulk ${id}`,
    sources: { main: { url: `v1/bulk/${encodeURIComponent(id)}`, live: `bulk:${id}` } },
    say: ({ main }) => `${exact(main.bulk.done ?? 0)} of ${exact(main.bulk.matched)} done`,
    missing: () => [
      h('h1', `Bulk ${id}`),
      empty('There is no such bulk action.', h('p', 'They are kept for 7 days.'), h('a.button', { href: 'ui/bulk' }, 'All bulk actions')),
    ],
    view: ({ main }) => [
      h('p.crumbs', h('a', { href: 'ui/bulk' }, 'Bulk')),
      h('div.page-head', h('h1.mono', id), main && sign(main.bulk), main && h('div.actions', stop(context, main.bulk))),
      main && one(main.bulk),
    ],
  };
}

const WHY = { too_many: 'More jobs matched than you saw, so it stopped by itself.', asked: 'Somebody stopped it.' };

function one(bulk) {
  return panel('How far it is', [
    h('p.calm', h('span', about(bulk))),
    h('div.far-large', howFar(bulk)),
    facts([
        ['Looked at', exact(bulk.looked ?? 0)],
        ['Matched', exact(bulk.matched ?? 0)],
        ['Done', exact(bulk.done ?? 0)],
        [
          'A second',
          isRunning(bulk) ? `${rate(bulk.per_second)}${bulk.rate ? ` of ${bulk.rate} at most` : ''}` : bulk.rate ? `${bulk.rate} at most` : 'no limit',
        ],
        ['Left alone', sums(bulk.skipped, '')],
        ['Refused', sums(bulk.refused, '')],
        ['By', theirs(bulk.by || '–')],
        ['Started', ago(bulk.created_at)],
        bulk.set && ['Changed in the new jobs', theirs(changeWords(bulk.set))],
        bulk.paused_because && ['Paused because', theirs(bulk.paused_because)],
        bulk.why && [isRunning(bulk) ? 'Waits for' : 'Why', WHY[bulk.why] ?? theirs(bulk.why)],
        bulk.stopped_by && ['Stopped by', theirs(bulk.stopped_by)],
        bulk.ended_at && ['Ended', ago(bulk.ended_at)],
    ]),
  ]);
}
