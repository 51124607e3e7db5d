/** Questions before an action, and short notes after it. */

import { Refusal } from './api.js';
import { h, morph } from './dom.js';

/** What went wrong, with the fields that the broker named: a name, or names with a sentence each. */
export function problem(error) {
  if (!(error instanceof Refusal)) return h('p.problem', { role: 'alert' }, String(error?.message ?? error));
  const isName = typeof error.fields === 'string';
  const fields = isName ? [[error.fields, '']] : Object.entries(error.fields ?? {});
  return h(
    'div.problem',
    { role: 'alert' },
    h('p', h('code', error.code), ' ', error.message),
    fields.length
      ? h(
          'ul',
          fields.map(([name, text]) => h('li', h('code', name), ' ', String(text))),
        )
      : null,
  );
}

/**
 * Open a dialog. `body` is called with `close` and `update`; Escape closes it, and the focus goes back.
 * @param {string} title @param {(dialog: {close: () => void, update: () => void}) => any} body @param {string} [kind]
 */
export function openDialog(title, body, kind = '') {
  const before = document.activeElement;
  const inner = () => h('div.dialog-body', body(control));
  const control = {
    close: () => dialog.close(),
    update: () => morph(dialog.lastElementChild, inner()),
  };
  const close = h('button.close', { 'aria-label': 'Close', onClick: () => dialog.close() }, '×');
  const dialog = h(
    'dialog',
    {
      class: kind,
      'aria-labelledby': 'dialog-title',
      onClose: () => {
        dialog.remove();
        if (before instanceof HTMLElement && before.isConnected) before.focus();
      },
    },
    h('header.dialog-head', h('h2', { id: 'dialog-title' }, title), close),
    h('div.dialog-body'),
  );
  document.body.append(dialog);
  control.update();
  dialog.showModal();
  return control;
}

/**
 * Ask before an action, do it, and say what came of it.
 * @param {{title: string, text: any, verb: string, isDangerous?: boolean, type?: string, fields?: () => any,
 *   act: (form: FormData) => Promise<string | void>, after?: () => void}} question
 */
export function ask(question) {
  let error = null;
  let isBusy = false;
  openDialog(question.title, ({ close, update }) => {
    const onSubmit = async (event) => {
      event.preventDefault();
      const form = new FormData(event.currentTarget);
      if (isBusy || (question.type && form.get('typed') !== question.type)) return;
      isBusy = true;
      update();
      try {
        const text = await question.act(form);
        close();
        if (text) toast(text);
        question.after?.();
      } catch (caught) {
        error = caught;
        isBusy = false;
        update();
      }
    };
    return h(
      'form',
      { onSubmit },
      h('div.dialog-text', question.text),
      question.fields && h('div', { 'data-keep': 'fields', class: 'dialog-fields' }, question.fields()),
      question.type && typed(question.type),
      error && problem(error),
      buttons(question, isBusy, close),
    );
  });
}

/** A field that takes only this text. @param {string} text */
export function typed(text) {
  return h(
    'label.field',
    { 'data-keep': 'typed' },
    h('span.label', 'Type ', h('b', text), ' to go on'),
    h('input', { name: 'typed', autocomplete: 'off', required: true, pattern: text.replace(/[-]/g, '\\-'), title: `Type ${text}` }),
  );
}

/** @param {{verb: string, isDangerous?: boolean}} question @param {boolean} isBusy @param {() => void} close */
function buttons(question, isBusy, close) {
  return h(
    'div.dialog-buttons',
    h('button.button', { autofocus: Boolean(question.isDangerous), onClick: close }, 'Keep as it is'),
    h(
      'button',
      { type: 'submit', autofocus: !question.isDangerous && !question.fields, class: `button ${question.isDangerous ? 'danger' : 'primary'}`, 'aria-disabled': isBusy ? 'true' : null },
      isBusy ? 'Working…' : question.verb,
    ),
  );
}

/** A note that goes away by itself; a screen reader reads it. @param {string} text */
export function toast(text) {
  const place = document.getElementById('toasts');
  const note = h('div.toast', text);
  place.append(note);
  setTimeout(() => note.remove(), 6000);
}
