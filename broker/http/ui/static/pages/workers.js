/** The workers, what they do, and their orders. */

import { change, may, query } from '../api.js';
import { ask } from '../dialog.js';
import { h } from '../dom.js';
import { counted, exact } from '../format.js';
import { ago, badge, code, empty, panel, progress, small, theirs } from '../parts.js';
import { root } from '../api.js';
import { table } from '../table.js';
import { pager } from './overview.js';

/** @type {Record<string, [string, string]>} */
const ORDERS = {
  quiet: ['Quiet', 'It takes no further jobs until somebody resumes it. Its running jobs go on.'],
  resume: ['Resume', 'It takes jobs again.'],
  drain: ['Drain', 'It takes no further jobs, lets the running ones end, and stops. Only whoever started it can start it again.'],
};

export function workers(context) {
  const cursor = context.query.get('cursor') ?? '';
  return {
    title: 'Workers',
    sources: {
      main: { url: `v1/workers${query({ n: 100, cursor })}`, live: cursor ? undefined : 'workers', every: cursor ? 5 : undefined },
      brokers: { url: 'v1/brokers', every: 10, fallback: { brokers: [] } },
    },
    say: ({ main }) => counted(main.workers.length, 'worker'),
    view: ({ main, brokers }) => [
      h('div.page-head', h('h1', 'Workers'), main && h('span.muted', summary(main))),
      main && h('section.panel', main.workers.length ? rows(context, main) : none(), pager(context, main)),
      brokers?.brokers?.length > 0 && panel('Brokers', brokerRows(brokers), brokers.layout ? `store layout ${brokers.layout}` : ''),
    ],
  };
}

function summary({ workers: all, cursor }) {
  const sum = (key) => all.reduce((total, worker) => total + worker[key], 0);
  return `${counted(all.length, 'worker')}${cursor ? ' and more' : ''} · ${counted(sum('slots'), 'slot')} · ${exact(sum('busy'))} busy`;
}

/** @param {string} order */
function isOffered(worker, order) {
  if (worker.state === 'draining' || worker.order === order) return false;
  return order === 'quiet' ? worker.state === 'working' : order === 'resume' ? worker.state === 'quiet' : true;
}

function orders(context, worker) {
  if (!may('admin')) return null;
  const give = (order) =>
    ask({
      title: `${ORDERS[order][0]} ${worker.name}?`,
      verb: ORDERS[order][0],
      isDangerous: order === 'drain',
      text: [h('p', ORDERS[order][1]), h('p.muted', `It runs ${counted(worker.busy, 'job')} now, and gets the order within 2 s.`)],
      act: async () => {
        await change('POST', `v1/workers/${encodeURIComponent(worker.name)}/order`, { order });
        return `${worker.name} is ordered: ${order}.`;
      },
      after: () => context.reload(),
    });
  return h(
    'div.row',
    Object.keys(ORDERS)
      .filter((order) => isOffered(worker, order))
      .map((order) => small(ORDERS[order][0], () => give(order), { 'aria-label': `${ORDERS[order][0]} ${worker.name}` })),
  );
}

const some = (names) =>
  names?.length
    ? h('span', { title: names.join(', ') }, theirs(names.slice(0, 3).join(', ')), names.length > 3 ? ` +${names.length - 3}` : '')
    : h('span.muted', 'all');

function rows(context, main) {
  return table({
    caption: 'Workers',
    rows: main.workers,
    keyOf: (worker) => worker.name,
    columns: [
      { label: 'Worker', isHead: true, cell: (worker) => theirs(worker.name, 'strong') },
      { label: 'State', cell: (worker) => [badge(worker.state), worker.order && h('span.muted', ` (ordered: ${worker.order})`)] },
      {
        label: 'Busy',
        isNumber: true,
        cell: (worker) => h('span.busy', progress(worker.busy, worker.slots, `${worker.busy} of ${worker.slots} slots`), ` ${worker.busy}/${worker.slots}`),
      },
      { label: 'Host', kind: 'cut', cell: (worker) => theirs(worker.host) },
      { label: 'Runner', cell: (worker) => [theirs(worker.runner || '–'), ' ', theirs(worker.version, 'muted')] },
      { label: 'Groups', kind: 'cut wide', cell: (worker) => some(worker.groups) },
      { label: 'Images', kind: 'cut wide', cell: (worker) => some(worker.images) },
      { label: 'Seen', isNumber: true, cell: (worker) => ago(worker.seen_at) },
      { label: 'Orders', kind: 'act', cell: (worker) => orders(context, worker) },
    ],
  });
}

function none() {
  return empty(
    'No worker has announced itself in the last minute.',
    h('p', 'Start one, where its commands can run:'),
    code(`titan worker --broker-url ${root.href.replace(/\/$/, '')} --run hello='echo hello'`),
    h('p.muted', 'Programs that take jobs by HTTP need not announce themselves.'),
  );
}

function brokerRows(brokers) {
  return table({
    caption: 'Brokers',
    rows: brokers.brokers,
    keyOf: (broker) => broker.name,
    columns: [
      { label: 'Broker', isHead: true, cell: (broker) => theirs(broker.name) },
      { label: 'Address', cell: (broker) => theirs(broker.address) },
      { label: 'Version', cell: (broker) => theirs(broker.version) },
      { label: 'Started', isNumber: true, cell: (broker) => ago(broker.since) },
      { label: 'Seen', isNumber: true, cell: (broker) => ago(broker.seen_at) },
    ],
  });
}
