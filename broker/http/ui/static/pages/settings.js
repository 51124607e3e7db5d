/** The broker's own state: doctor, configuration, tokens, sessions and the audit. */

import { change, may, query, session } from '../api.js';
import { ask } from '../dialog.js';
import { h } from '../dom.js';
import { exact } from '../format.js';
import { ago, badge, empty, groupPage, icon, jobPage, panel, small, theirs, when } from '../parts.js';
import { table } from '../table.js';
import { pager } from './overview.js';

export function settings(context) {
  const cursor = context.query.get('cursor') ?? '';
  const isOpen = may('admin') || may('read');
  return {
    title: 'Settings',
    needs: 'admin',
    sources: isOpen
      ? {
          main: { url: 'v1/doctor', every: 30 },
          audit: { url: `v1/audit${query({ n: 50, cursor })}`, every: cursor ? 0 : 10, fallback: { entries: [] } },
          order: { url: 'v1/settings', every: 30, fallback: {} },
          ...(session.csrf ? { sessions: { url: 'ui/sessions', every: 30, fallback: {} } } : {}),
        }
      : {},
    view: ({ main, audit, sessions, order }) => [
      h('div.page-head', h('h1', 'Settings')),
      main && panel('Doctor', doctor(main)),
      order?.settings && panel('Order of groups', orderOfGroups(context, order.settings.order)),
      sessions?.sessions && panel('Sessions', sessionRows(context, sessions.sessions)),
      main?.access?.length > 0 && panel('Tokens', tokenRows(main.access)),
      audit &&
        panel(
          'Audit',
          audit.entries.length ? [auditRows(audit.entries), pager(context, audit)] : empty('Nothing was done by hand yet.'),
          'who did what; about 10,000 entries are kept',
        ),
      main?.config && panel('Configuration in force', config(main.config), 'secrets are never shown'),
    ],
  };
}

function doctor(main) {
  return h(
    'ul.doctor',
    (main.lines ?? []).map((line) =>
      h(
        'li',
        { class: `is-${line.state}` },
        icon(line.state),
        h('span.strong', line.about),
        h('span', h('span.vh', `${line.state}: `), theirs(line.found)),
        line.advice && h('span.advice', line.advice),
      ),
    ),
  );
}

function orderOfGroups(context, order) {
  const [other, means, verb] =
    order === 'fair'
      ? ['fifo', 'Groups take turns, of as many jobs as their weight says.', 'Serve the oldest job first']
      : ['fair', 'The oldest job of a priority is served first, whichever group it is of.', 'Let groups take turns'];
  const set = () =>
    ask({
      title: `${verb}?`,
      verb,
      text: h('p', 'Jobs stay where they are. Brokers follow within 5 s.'),
      act: async () => {
        await change('PUT', 'v1/settings', { settings: { order: other } });
        return `The order is ${other}.`;
      },
      after: () => context.reload('order'),
    });
  return h('p', h('b', order), `: ${means} `, may('admin') && small(`${verb}…`, set));
}

function config(config) {
  return table({
    caption: 'Settings of this broker',
    rows: config,
    keyOf: (row) => row.setting,
    columns: [
      { label: 'Setting', isHead: true, cell: (row) => h('code', { title: row.description }, row.setting) },
      {
        label: 'Value',
        kind: 'grow',
        cell: (row) => theirs(String(row.value ?? '') || '–', 'mono'),
      },
      { label: 'From', cell: (row) => h('span.muted', row.source === 'environment' ? row.variable : row.source) },
    ],
  });
}

/** @param {any[]} tokens */
function tokenRows(tokens) {
  return table({
    caption: 'Tokens of this broker',
    rows: tokens,
    keyOf: (token) => token.name,
    columns: [
      { label: 'Token', isHead: true, cell: (token) => theirs(token.name || 'without a name') },
      { label: 'May', cell: (token) => (token.scopes ?? []).join(', ') },
      { label: 'Groups', cell: (token) => theirs((token.groups ?? ['*']).join(', ')) },
    ],
  });
}

/** @param {any[]} sessions */
function sessionRows(context, sessions) {
  if (!sessions.length) return empty('Nobody is logged in.');
  const end = (one) =>
    ask({
      title: 'End this session?',
      verb: 'End it',
      isDangerous: true,
      text: h('p', `${one.name || 'Its person'} has to log in again, within 30 s at every broker.`),
      act: async () => {
        await change('DELETE', `ui/sessions/${encodeURIComponent(one.id)}`);
        return 'The session is over.';
      },
      after: () => context.reload('sessions'),
    });
  return table({
    caption: 'Sessions',
    rows: sessions,
    keyOf: (one) => one.id,
    columns: [
      { label: 'Token', isHead: true, cell: (one) => [theirs(one.name || '–'), one.is_own ? h('span.muted', ' (this one)') : ''] },
      { label: 'Began', isNumber: true, cell: (one) => ago(one.began_at) },
      { label: 'Last used', isNumber: true, cell: (one) => ago(one.used_at) },
      {
        label: 'Action',
        kind: 'act',
        cell: (one) => may('admin') && small('End', () => end(one), { 'aria-label': `End the session of ${one.name}` }),
      },
    ],
  });
}

function subject(entry) {
  const ids = entry.ids ?? [];
  const target = (id) => (entry.act === 'bulk' ? `ui/bulk/${encodeURIComponent(id)}` : entry.group ? jobPage(entry.group, id) : 'ui/workers');
  return [
    entry.group && h('a', { href: groupPage(entry.group) }, theirs(entry.group)),
    ids.length ? ' ' : '',
    ids.slice(0, 2).map((id) => [h('a.mono', { href: target(id) }, id), ' ']),
    entry.n > 2 && ids.length > 2 ? h('span.muted', `and ${exact(entry.n - 2)} more`) : '',
    entry.detail ? h('span.muted', ' ', theirs(entry.detail)) : '',
  ];
}

/** @param {any[]} entries */
function auditRows(entries) {
  return table({
    caption: 'Audit, the newest first',
    rows: entries.map((entry, at) => ({ ...entry, at_row: at })),
    keyOf: (entry) => `${entry.at}${entry.act}${entry.ids?.[0] ?? ''}${entry.at_row}`,
    columns: [
      { label: 'When', isHead: true, cell: (entry) => when(entry.at) },
      { label: 'By', cell: (entry) => [theirs(entry.by || 'open broker'), ' ', theirs(entry.address ?? '', 'muted')] },
      { label: 'Act', cell: (entry) => h('b', entry.act.replaceAll('_', ' ')) },
      { label: 'On', kind: 'grow', cell: subject },
      { label: 'How many', isNumber: true, cell: (entry) => exact(entry.n ?? 1) },
      { label: 'Outcome', cell: (entry) => badge(/^(ok|done)$/.test(entry.outcome) ? 'ok' : 'warn', entry.outcome) },
    ],
  });
}
