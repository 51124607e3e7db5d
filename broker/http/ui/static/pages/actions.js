/** What a person can do to jobs and groups. Each asks first, and says what it will do to how many. */

import { Refusal, change, get, groupApi, jobApi, newKey, query } from '../api.js';
import { ask, openDialog, problem, toast, typed } from '../dialog.js';
import { h } from '../dom.js';
import { counted, exact } from '../format.js';
import { field, jobPage } from '../parts.js';
import { changeFields, changesOf } from './bulk_changes.js';

/** @typedef {'retry' | 'cancel' | 'delete' | 'promote'} Action */

/** @type {Record<Action, {verb: string, past: string, text: string, from: string[], isDangerous?: boolean}>} */
export const ACTIONS = {
  retry: {
    verb: 'Retry',
    past: 'retried',
    text: 'A retry is a new job with the same payload; the old one stays, and links to it.',
    from: ['failed', 'succeeded', 'cancelled'],
  },
  cancel: {
    verb: 'Cancel',
    past: 'cancelled',
    text: 'A queued or delayed job will not run. A running one is told within 2 s, and its work is stopped.',
    from: ['delayed', 'queued', 'running'],
    isDangerous: true,
  },
  delete: {
    verb: 'Delete',
    past: 'deleted',
    text: 'The job and its log are gone for good. Only finished jobs can be deleted.',
    from: ['failed', 'succeeded', 'cancelled'],
    isDangerous: true,
  },
  promote: { verb: 'Promote', past: 'promoted', text: 'A delayed job is queued now and does not wait for its time.', from: ['delayed'] },
};

/** @param {Action} action @param {string} group @param {string} id */
export const act = (action, group, id) => (action === 'delete' ? change('DELETE', jobApi(group, id)) : change('POST', `${jobApi(group, id)}/${action}`));

/** The jobs of the picture that were cancelled since this one did not succeed. */
const cancelledWith = (context, job) =>
  (context.source('flow')?.data?.jobs ?? []).filter((each) => each.reason === 'dependency' && each.parents?.includes(job.id));

/** One job. @param {Action} action */
export function askOne(context, action, job) {
  const { verb, past, text, isDangerous } = ACTIONS[action];
  const [isRetry, lost] = [action === 'retry', action === 'retry' ? cancelledWith(context, job).length : 0];
  let made = null;
  ask({
    title: `${verb} this job?`,
    verb,
    isDangerous,
    text: [h('p', h('code', job.id), ` of ${job.group_name}, ${job.status}.`), h('p', text)],
    fields: lost ? () => dependants(lost) : undefined,
    act: async (form) => {
      made = form.get('dependants') ? await change('POST', `${jobApi(job.group_name, job.id)}/retry?dependants=1`) : await act(action, job.group_name, job.id);
      return isRetry ? `${counted(1 + (made.dependants?.length ?? 0), 'new job')} made.` : `The job is ${past}.`;
    },
    after: () => {
      if (isRetry && made?.job) context.go(jobPage(job.group_name, made.job.id));
      else if (action === 'delete') context.go(`ui/groups/${encodeURIComponent(job.group_name)}?status=${job.status}`);
      else context.reload();
    },
  });
}

/** @param {number} n */
const dependants = (n) =>
  h(
    'label.check-line',
    h('input', { type: 'checkbox', name: 'dependants', checked: true }),
    ` and those that were cancelled with it: ${counted(n, 'job')} that waited for it, and what waited for these`,
  );

/** The jobs that are selected, one after the other. @param {Action} action @param {string} group @param {any[]} jobs @param {() => void} after */
export function askSome(context, action, group, jobs, after) {
  const { verb, past, text, isDangerous, from } = ACTIONS[action];
  const fit = jobs.filter((job) => from.includes(job.status));
  const rest = jobs.length - fit.length;
  ask({
    title: `${verb} ${counted(fit.length, 'selected job')}?`,
    verb: `${verb} ${fit.length}`,
    isDangerous,
    text: [h('p', text), rest ? h('p.muted', `${counted(rest, 'selected job')} ${rest === 1 ? 'has' : 'have'} another status and will be left alone.`) : null],
    act: async () => {
      const answers = await Promise.allSettled(fit.map((job) => act(action, group, job.id)));
      const refused = answers.filter((answer) => answer.status === 'rejected');
      if (refused.length && refused.length === fit.length) throw refused[0].reason;
      return `${counted(fit.length - refused.length, 'job')} ${past}${refused.length ? `, ${refused.length} refused` : ''}.`;
    },
    after,
  });
}

/** Pause with a note, or resume. @param {string} group @param {boolean} isPaused */
export function pauseGroup(context, group, isPaused) {
  const note = () =>
    field(
      'Note for others',
      h('input', { name: 'note', maxlength: 255, placeholder: 'provider down', autofocus: true }),
      'Shown on the page of the group, with your name.',
    );
  ask({
    title: isPaused ? `Resume ${group}?` : `Pause ${group}?`,
    verb: isPaused ? 'Resume' : 'Pause',
    text: h(
      'p',
      isPaused
        ? 'Its queued jobs are given to workers again.'
        : 'No job of it is given to a worker until somebody resumes it. Running jobs go on, and new ones are still taken in.',
    ),
    fields: isPaused ? undefined : note,
    act: async (form) => {
      await change('PATCH', groupApi(group), {
        group: isPaused ? { paused: false, note: null } : { paused: true, note: String(form.get('note') ?? '') || null },
      });
      return isPaused ? `${group} is resumed.` : `${group} is paused.`;
    },
    after: () => context.reload(),
  });
}

/** @param {Record<string, number>} counts */
const jobsIn = (counts) => Object.values(counts).reduce((sum, n) => sum + n, 0);

/** Delete a group whose jobs are all finished. @param {string} group @param {Record<string, number>} counts its jobs by status */
export function askDeleteGroup(context, group, counts) {
  const jobs = jobsIn(counts);
  ask({
    title: `Delete ${group}?`,
    verb: 'Delete the group',
    isDangerous: true,
    type: group,
    text: [
      h('p', `The group is gone for good, with ${counted(jobs, 'finished job')}, their logs, its settings and its statistics.`),
      h('p', 'A job that is enqueued later makes the group again, with default settings.'),
    ],
    act: async () => {
      await deleteGroup(group, jobs);
      return `${group} is deleted.`;
    },
    after: () => context.go('ui/'),
  });
}

/** The broker deletes a very large group in several calls: as long as jobs go, the call is repeated. @param {string} group @param {number} left */
async function deleteGroup(group, left) {
  for (;;) {
    try {
      return await change('DELETE', groupApi(group));
    } catch (error) {
      const isUnfinished = error instanceof Refusal && error.code === 'store_unavailable';
      const now = isUnfinished ? jobsIn((await get(groupApi(group))).data.group.counts) : left;
      if (now >= left) throw error;
      left = now;
    }
  }
}

/**
 * All jobs that match: a dry run first, then at a rate, in the broker.
 * @param {Action} action @param {string} group @param {Record<string, any>} filters
 */
export function askBulk(context, action, group, filters) {
  const { verb, text, isDangerous } = ACTIONS[action];
  const state = { dry: null, error: null, isBusy: false, isOpen: true };
  const key = newKey();
  const dialog = openDialog(`${verb} all that match`, ({ close, update }) => {
    const onSubmit = (event) => {
      event.preventDefault();
      const form = new FormData(event.currentTarget);
      const matched = state.dry?.matched ?? 0;
      if (state.isBusy || !matched || (matched > 1000 && form.get('typed') !== group)) return;
      const body = { action, ...filters, rate: Number(form.get('rate')) || undefined, limit: Number(form.get('limit')) || undefined, at_most: matched, set: changesOf(form) };
      startBulk(context, group, body, key, state, update, close);
    };
    return h(
      'form',
      { onSubmit, class: 'bulk-form' },
      h('p', text),
      described(group, filters),
      matchedNow(state, filters),
      state.dry?.matched ? [pace(), action === 'retry' && changeFields()] : null,
      state.dry?.matched > 1000 ? typed(group) : null,
      state.error && problem(state.error),
      h(
        'div.dialog-buttons',
        h('button.button', { onClick: close }, 'Keep as it is'),
        h(
          'button',
          { type: 'submit', class: `button ${isDangerous ? 'danger' : 'primary'}`, disabled: !state.dry?.matched || state.isBusy },
          state.dry ? `${verb} ${counted(state.dry.matched, 'job')}` : verb,
        ),
      ),
    );
  });
  dryRun(group, { action, ...filters }, state, dialog.update);
}

/** @param {string} group @param {Record<string, any>} filters */
function pace() {
  return h(
    'div.row',
    { 'data-keep': 'fields' },
    field('At most a second', h('input', { name: 'rate', type: 'number', min: 1, max: 10000, value: 100 })),
    field('Only the first', h('input', { name: 'limit', type: 'number', min: 1, placeholder: 'all' })),
  );
}

function described(group, filters) {
  const parts = Object.entries(filters).filter(([, value]) => value !== undefined && value !== '' && !(Array.isArray(value) && !value.length));
  return h(
    'p.filter-words',
    'Jobs of ',
    h('b', group),
    parts.length ? ' with ' : '',
    parts.map(([name, value], at) => [at ? ', ' : '', ...(name === 'retried' ? [value ? 'retried' : 'not retried yet'] : [`${name.replaceAll('_', ' ')} `, h('code', name === 'ids' ? exact(value.length) : String(value))])]),
  );
}

/** @param {{dry: any, error: any}} state @param {Record<string, any>} filters */
function matchedNow({ dry, error }, filters) {
  if (error && !dry) return null;
  if (!dry?.isOver) return h('p', { role: 'status' }, `Dry run: ${dry ? `${exact(dry.matched ?? 0)} match so far…` : 'counting…'}`);
  return h(
    'p',
    { role: 'status' },
    h('b', `${counted(dry.matched ?? 0, 'job')} ${dry.matched === 1 ? 'matches' : 'match'} now.`),
    dry.matched ? ' Nothing was changed yet.' : filters.retried === false ? ' Jobs that were retried before do not count.' : '',
  );
}

/** @param {string} group @param {() => void} update */
async function dryRun(group, body, state, update) {
  try {
    let { bulk } = await change('POST', `${groupApi(group)}/bulk`, { ...body, dry_run: true });
    for (;;) {
      state.dry = { ...bulk, isOver: ['done', 'stopped', 'failed'].includes(bulk.state) };
      update();
      if (state.dry.isOver) return;
      await new Promise((resolve) => setTimeout(resolve, 500));
      ({ bulk } = (await get(`v1/bulk/${encodeURIComponent(bulk.id)}`)).data);
    }
  } catch (error) {
    state.error = error;
    update();
  }
}

/** @param {string} group @param {string} key @param {() => void} update @param {() => void} close */
async function startBulk(context, group, body, key, state, update, close) {
  state.isBusy = true;
  update();
  try {
    const { bulk } = await change('POST', `${groupApi(group)}/bulk`, body, { 'Idempotency-Key': key });
    close();
    toast('Started. This page shows how far it is.');
    context.go(`ui/bulk/${bulk.id}`);
  } catch (error) {
    state.error = error;
    state.isBusy = false;
    update();
  }
}

/** The list of jobs that these filters give. @param {string} group @param {Record<string, any>} filters */
export const listHref = (group, filters) => `ui/groups/${encodeURIComponent(group)}${query(filters)}`;
