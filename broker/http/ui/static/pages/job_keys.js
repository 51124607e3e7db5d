/** The keys of a group's jobs, such as tenants: how many of each wait, run, and are held. */

import { h } from '../dom.js';
import { counted, exact } from '../format.js';
import { ago, num, panel, theirs } from '../parts.js';
import { table } from '../table.js';

/** Those with the most jobs; null if no unfinished job has a key. @param {string} name @param {any} group @param {any} found */
export function jobKeysPanel(name, group, found) {
  const keys = found?.keys ?? [];
  if (!keys.length) return null;
  const { queued = 0, running = 0 } = found.no_key ?? {};
  const rows = queued + running ? [...keys, { ...found.no_key, held: 0 }] : keys;
  const limit = group?.key_concurrency;
  const placed = (one) => one.queued + one.running;
  const takeTurns = group?.fair_keys && !group.asleep;
  const turn = { label: 'Turn', isNumber: true, cell: (one) => (one.turn ? num(one.turn) : h('span.muted', '–')) };
  const columns = [
    { label: 'Key', isHead: true, kind: 'grow', cell: (one) => (one.key ? theirs(one.key, 'mono') : h('span.muted', 'no key')) },
    ...(takeTurns ? [turn] : []),
    { label: 'Queued', isNumber: true, cell: (one) => num(one.queued) },
    { label: 'Running', isNumber: true, cell: (one) => num(one.running) },
    { label: 'Held', isNumber: true, cell: (one) => (one.held ? h('span.late', num(one.held)) : num(0)) },
    { label: 'Places', isNumber: true, cell: (one) => (limit && one.key ? `${exact(placed(one))} of ${exact(limit)}` : 'no limit') },
    { label: 'Oldest', cell: (one) => (one.oldest_at ? ago(one.oldest_at) : h('span.muted', '–')) },
  ];
  const turns = group?.fair_keys && (group.asleep ? '; they take turns once groups do' : '; they take turns');
  return panel('Keys', table({ caption: `Keys of ${name}`, rows, keyOf: (one) => one.key ?? '', columns }), h('span.muted', counted(keys.length, 'key'), turns));
}
