/** Tables that become cards on a phone, sort by the address, and let rows be selected. */

import { h } from './dom.js';

/**
 * @typedef {{label: string, cell: (row: any) => any, isNumber?: boolean, sort?: string, kind?: string, isHead?: boolean}} Column
 * @typedef {{chosen: Set<string>, onChange: () => void, label: string}} Selection
 * @typedef {{caption: string, columns: Column[], rows: any[], keyOf: (row: any) => string, kindOf?: (row: any) => string,
 *   sort?: string, order?: string, sortHref?: (sort: string, order: string) => string, select?: Selection}} Table
 */

/** @param {Table} table @param {Column} column */
function head(table, column) {
  const kind = `${column.isNumber ? 'right ' : ''}${column.kind ?? ''}`;
  if (!column.sort || !table.sortHref) return h('th', { scope: 'col', role: 'columnheader', class: kind }, column.label);
  const isSorted = table.sort === column.sort;
  const isDown = isSorted ? table.order !== 'asc' : false;
  const next = isSorted ? (isDown ? 'asc' : 'desc') : column.isNumber ? 'desc' : 'asc';
  const direction = isDown ? 'descending' : 'ascending';
  return h(
    'th',
    { scope: 'col', role: 'columnheader', class: kind, 'aria-sort': isSorted ? direction : null },
    h(
      'a',
      { href: table.sortHref(column.sort, next), class: 'sort' },
      column.label,
      h('span.arrow', { 'aria-hidden': 'true' }, isSorted ? (isDown ? '▾' : '▴') : ''),
    ),
  );
}

/** @param {Selection} select @param {string[]} keys */
function selectAll(select, keys) {
  const isAll = keys.length > 0 && keys.every((key) => select.chosen.has(key));
  const onChange = () => {
    for (const key of keys) isAll ? select.chosen.delete(key) : select.chosen.add(key);
    select.onChange();
  };
  return h(
    'th.check',
    { role: 'columnheader', scope: 'col' },
    h('input', { type: 'checkbox', checked: isAll, 'aria-label': 'Select all on this page', onChange }),
  );
}

/** @param {Selection} select @param {string} key */
function selectOne(select, key) {
  const onChange = () => {
    if (!select.chosen.delete(key)) select.chosen.add(key);
    select.onChange();
  };
  return h(
    'td.check',
    h('input', { type: 'checkbox', checked: select.chosen.has(key), 'aria-label': `Select ${select.label} ${key}`, onChange }),
  );
}

/** @param {Column} column */
function cell(column, row) {
  const kind = `${column.isNumber ? 'right ' : ''}${column.kind ?? ''}`;
  const props = { class: kind, 'data-label': column.label };
  if (column.isHead) return h('th', { ...props, scope: 'row', role: 'rowheader' }, column.cell(row));
  const made = h('td', props, column.cell(row));
  if (/^[–\s]*$/.test(made.textContent) && !made.querySelector('svg, input')) made.classList.add('nil'); // a card on a phone leaves it out
  return made;
}

/** @param {Table} table */
export function table(table) {
  const { columns, rows, keyOf, select } = table;
  const keys = rows.map(keyOf);
  const body = rows.map((row, at) =>
    h(
      'tr',
      { key: keys[at], 'data-row': keys[at], class: `${table.kindOf?.(row) ?? ''}${select?.chosen.has(keys[at]) ? ' chosen' : ''}` },
      select && selectOne(select, keys[at]),
      columns.map((column) => cell(column, row)),
    ),
  );
  return h(
    'div.table-box',
    h(
      'table',
      h('caption.vh', table.caption),
      h(
        'thead',
        h(
          'tr',
          select && selectAll(select, keys),
          columns.map((column) => head(table, column)),
        ),
      ),
      h('tbody', body),
    ),
  );
}
