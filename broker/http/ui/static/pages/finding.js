/** Find: an id goes to its job, a name to its group, anything else to the groups with that in their name. */

import { Refusal, get, groupApi } from '../api.js';
import { problem } from '../dialog.js';
import { h } from '../dom.js';
import { empty, groupPage, jobPage, link } from '../parts.js';

export function finding(context) {
  const text = (context.query.get('q') ?? '').trim();
  const { state } = context;
  if (text && state.text !== text) {
    Object.assign(state, { text, isOver: false, error: undefined });
    look(context, text);
  }
  return {
    title: `Find ${text}`,
    view: () => [
      h('h1', 'Find'),
      state.error
        ? problem(state.error)
        : state.isOver
          ? none(text)
          : h('p.muted', { role: 'status' }, text ? `Looking for ${text}…` : 'Type an id or a name above.'),
    ],
  };
}

/** What a path has; null if there is nothing for this person. @param {string} path */
export async function there(path) {
  try {
    return (await get(path)).data;
  } catch (error) {
    if (error instanceof Refusal && [400, 403, 404].includes(error.status)) return null;
    throw error;
  }
}

/** @param {string} text */
async function look(context, text) {
  try {
    const found = /^[0-9A-Za-z]{16}$/.test(text) ? await there(`v1/jobs/${text}`) : null;
    if (found?.job) return context.go(jobPage(found.job.group_name, found.job.id), true);
    if (/^[A-Za-z0-9_-]{1,128}$/.test(text) && (await there(groupApi(text)))?.group) return context.go(groupPage(text), true);
    const named = await there(`v1/overview?n=1&q=${encodeURIComponent(text)}`);
    if (named?.matched) return context.go(`ui/groups?q=${encodeURIComponent(text)}`, true);
    context.state.isOver = true;
  } catch (error) {
    context.state.error = error;
  }
  context.update();
}

/** @param {string} text */
function none(text) {
  return empty(
    'Nothing has this id or name.',
    h('p', h('bdi.mono', text.slice(0, 200))),
    h('p.muted', 'A job that was deleted, or that is past its retention, is not found. To search in payloads, open a group and use “Text in payload”.'),
    link('Groups', 'ui/groups'),
  );
}
