/** A new bulk action of any group: which jobs, and what is done to them. The dry run comes after it. */

import { openDialog } from '../dialog.js';
import { h } from '../dom.js';
import { STATUSES, field, select } from '../parts.js';
import { ACTIONS, askBulk } from './actions.js';

const TIMES = { created_after: 'Created after', created_before: 'Created before', completed_after: 'Ended after', completed_before: 'Ended before' };

/** The filters of a form, as the API takes them. Ids are all there is then. @param {FormData} form */
export function bulkFiltersOf(form) {
  const text = (name) => String(form.get(name) ?? '').trim();
  const ids = text('ids').split(/[\s,]+/).filter(Boolean);
  if (ids.length) return { ids };
  /** @type {Record<string, any>} */
  const filters = {};
  if (text('status')) filters.status = [text('status')];
  for (const name of ['image', 'reason', 'text']) if (text(name)) filters[name] = text(name);
  for (const name of Object.keys(TIMES)) if (text(name)) filters[name] = new Date(text(name)).toISOString();
  if (form.get('hide')) filters.retried = false;
  return filters;
}

/** Ask which jobs, then count them. */
export function askNewBulk(context) {
  openDialog('New bulk action', ({ close }) => {
    const onSubmit = (event) => {
      event.preventDefault();
      const form = new FormData(event.currentTarget);
      close();
      askBulk(context, /** @type {keyof typeof ACTIONS} */ (form.get('action')), String(form.get('group')), bulkFiltersOf(form));
    };
    return h(
      'form',
      { onSubmit, class: 'bulk-form' },
      h('div', { 'data-keep': 'fields', class: 'form-grid' }, which()),
      h(
        'div.dialog-buttons',
        h('button.button', { type: 'button', onClick: close }, 'Keep as it is'),
        h('button', { type: 'submit', class: 'button primary' }, 'Count them'),
      ),
    );
  });
}

function which() {
  const input = (name, label, props = {}) => field(label, h('input', { name, autocomplete: 'off', ...props }));
  return [
    field('Action', select('action', Object.entries(ACTIONS).map(([name, { verb }]) => [name, verb]), 'retry')),
    input('group', 'Group', { required: true, pattern: '[A-Za-z0-9_\\-]{1,128}', spellcheck: 'false' }),
    field('Status', select('status', [['', 'as the action says'], ...STATUSES.map((status) => /** @type {[string, string]} */ ([status, status]))], '')),
    input('image', 'Image', { maxlength: 255 }),
    input('reason', 'Reason', { maxlength: 256 }),
    input('text', 'Text in payload', { maxlength: 256 }),
    Object.entries(TIMES).map(([name, label]) => input(name, label, { type: 'datetime-local' })),
    field('Ids', h('textarea', { name: 'ids', rows: 2, spellcheck: 'false' }), 'Exactly these jobs, up to 1,000; then no other filter counts.', 'whole'),
    h('label.check-line', h('input', { type: 'checkbox', name: 'hide' }), ' only jobs that were not retried'),
  ];
}
