/** The login: a token of the broker's file, kept by the broker and never by the page. */

import { Refusal, address, send, session, who } from '../api.js';
import { problem } from '../dialog.js';
import { h } from '../dom.js';
import { field, logo } from '../parts.js';

export function login(context) {
  const { state } = context;
  return {
    title: 'Log in',
    view: () =>
      h(
        'div.login',
        h('h1.logo', logo()),
        h('p.muted', location.host),
        h(
          'form',
          { method: 'post', action: address('ui/login').href, onSubmit: (event) => submit(event, context) },
          h(
            'div',
            { 'data-keep': 'token' },
            field(
              'Token',
              h('input', { name: 'token', type: 'password', required: true, autocomplete: 'current-password', autofocus: true, spellcheck: 'false' }),
              'The secret that begins with titan_.',
            ),
          ),
          state.error && problem(state.error),
          h('button', { type: 'submit', class: 'button primary' }, state.isBusy ? 'Checking…' : 'Log in'),
        ),
        h('p.hint', 'Whoever runs this broker makes one with ', h('code', 'titan token new'), '. What you may do here is what the token may do.'),
      ),
  };
}

/** Where to go after it: only a page of this application. @param {string | null} to */
export const target = (to) => (to && /^ui(\/|$|\?)/.test(to) ? to : 'ui/');

async function submit(event, context) {
  event.preventDefault();
  const { state } = context;
  if (state.isBusy) return;
  state.isBusy = true;
  const token = String(new FormData(event.currentTarget).get('token'));
  context.update();
  try {
    await send('POST', 'ui/login', { form: { token } });
    await who();
    if (session.scopes.length || session.name) context.go(target(context.query.get('to')), true);
  } catch (error) {
    state.error = error instanceof Refusal && error.status === 401 ? new Refusal(401, error.code, 'This broker does not know that token.') : error;
    if (error instanceof Refusal && error.status === 429)
      state.error = new Refusal(429, error.code, `Too many wrong tokens. Try again in ${error.retryAfter || 60} s.`);
  }
  state.isBusy = false;
  context.update();
}
