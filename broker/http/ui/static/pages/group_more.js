/** More of a group: its failures by cause, why its jobs wait, and its settings. */

import { Refusal, change, get, groupApi, may } from '../api.js';
import { problem, toast } from '../dialog.js';
import { h } from '../dom.js';
import { counted, exact, line, rateOf, rateText, secondsOf, span, spanText } from '../format.js';
import { ENDS, ago, button, empty, field, icon, jobPage, link, panel, small, theirs } from '../parts.js';
import { description, fieldsOf } from '../spec.js';
import { ACTIONS, askBulk, askDeleteGroup, listHref } from './actions.js';
import { jsonOf, policyField } from './enqueue.js';
import { groupHead } from './group_head.js';
import { numberField, numberOf, spanField } from './spans.js';

export function causes(context) {
  const [name] = context.args;
  return {
    title: `Causes · ${name}`,
    sources: { main: { url: `${groupApi(name)}/failures?looks=1000`, every: 10 }, group: { url: groupApi(name), every: 10 } },
    view: ({ main, group }) => [
      groupHead(context, name, group?.group, '/causes'),
      main &&
        panel(
          'Why jobs fail',
          main.causes.length
            ? h(
                'ul.causes',
                main.causes.map((cause) => causeRow(context, name, cause, main)),
              )
            : empty('No failed job is kept.', h('p', 'Failed jobs are grouped here by what they have in common.')),
          `looked at the newest ${exact(main.looked)} of ${counted(main.of ?? main.looked, 'failed job')}`,
        ),
    ],
  };
}

/** @param {string} name */
function causeRow(context, name, cause, main) {
  const filters = { status: ['failed'], cause: cause.cause, retried: false };
  const share = Math.round((100 * cause.n) / Math.max(1, main.looked));
  return h(
    'li',
    { key: cause.cause },
    h('div.cause-n', h('b', exact(cause.n)), h('meter', { min: 0, max: 100, value: share, 'aria-label': `${share} % of what was looked at` })),
    h(
      'div.cause-text',
      h('p', h('code.reason', cause.reason || 'no reason'), ' ', theirs(line(cause.signature || cause.error || '', 300), 'mono')),
      h(
        'p.muted',
        'first ',
        ago(cause.first),
        ' · last ',
        ago(cause.last),
        ' · such as ',
        (cause.ids ?? []).slice(0, 3).map((id, at) => [at ? ', ' : '', h('a.mono', { href: jobPage(name, id) }, id)]),
      ),
    ),
    h(
      'div.row',
      link('Show', listHref(name, { status: 'failed', cause: cause.cause }), { class: 'button small' }),
      may('produce', name) &&
        button('Retry these…', () => askBulk(context, 'retry', name, filters), { class: 'button small' }),
    ),
  );
}

/** The sign of a reason: what is wrong, what only takes its time, or how the job ended. */
function signOf({ code, status }) {
  if (code === 'finished') return status || 'ok';
  if (/delay|until|must_/.test(code)) return 'delayed';
  return /held|next_up|nothing_queued/.test(code) ? 'ok' : 'warn';
}

/** The jobs that a job waits for, which `why` names. @param {string} [group] */
function awaited(reason, group) {
  if (!group || !/^waits_for/.test(reason.code)) return null;
  const ids = [...new Set([...(reason.ids ?? []), reason.job])].filter(Boolean);
  return ids.map((id) => [' ', h('a.mono', { href: jobPage(group, id) }, id)]);
}

/** The reasons of an answer of `why`, the worst first; with links to the jobs in them, for a job of a group. @param {string} [group] */
export function reasons(why, group) {
  const eta = why.eta_s ? `${counted(why.ahead ?? 0, 'job')} ahead, about ${span(why.eta_s)} at the rate of the last 5 minutes` : '';
  const isSaid = why.reasons?.length === 1 && why.reasons[0].text === why.verdict;
  return h(
    'div.why',
    h('p.verdict', isSaid && [icon(signOf(why.reasons[0])), ' '], why.verdict, isSaid && [' ', h('code.muted', why.reasons[0].code), awaited(why.reasons[0], group)]),
    !isSaid &&
      (why.reasons ?? []).length > 0 &&
      h(
        'ul',
        why.reasons.map((reason) =>
          h(
            'li',
            icon(signOf(reason)),
            h('span', reason.text ?? reason.code, ' ', h('code.muted', reason.code), awaited(reason, group)),
          ),
        ),
      ),
    eta && h('p.muted', eta),
  );
}

export function groupWhy(context) {
  const [name] = context.args;
  return {
    title: `Why? · ${name}`,
    sources: { main: { url: `${groupApi(name)}/why`, every: 5 }, group: { url: groupApi(name), every: 5 } },
    view: ({ main, group }) => [groupHead(context, name, group?.group, '/why'), main && panel('Why do its jobs wait?', reasons(main))],
  };
}

const SIMPLE = ['image', 'max_concurrency', 'rate_limit', 'max_jobs', 'max_bytes', 'priority_boost', 'delivery_limit', 'key_concurrency', 'start_within', 'dead_letter_to', 'weight', 'key_strict', 'fair_keys', 'require_lease', 'note'];
const SWITCHES = ['require_lease', 'key_strict', 'fair_keys'];
const LABELS = {
  image: 'Image',
  max_concurrency: 'Run at once, at most',
  rate_limit: 'Started a second, at most; or 5000/h:50',
  max_jobs: 'Unfinished jobs, at most',
  max_bytes: 'Their bytes, at most',
  priority_boost: 'A priority leads by, jobs',
  delivery_limit: 'Deliveries',
  start_within: 'Start within',
  dead_letter_to: 'Dead letters to',
  key_concurrency: 'Of one key, at most',
  key_strict: 'A job keeps the place of its key until its next try',
  fair_keys: 'Keys take turns, in the order fair',
  weight: 'Jobs in a turn',
  require_lease: 'Reports need the lease',
  note: 'Note',
};

export function groupSettings(context) {
  const [name] = context.args;
  const form = context.state;
  return {
    title: `Settings · ${name}`,
    needs: 'admin',
    sources: { main: { url: groupApi(name), every: 5, fallback: { group: null } }, spec: { url: 'v1/openapi.json' } },
    view: ({ main, spec }) => {
      if (main && spec && !form.group) Object.assign(form, { group: main.group ?? { name, retention: {} }, etag: context.source('main').etag });
      return [
        groupHead(context, name, main?.group, '/settings'),
        form.group && spec && panel('Settings', settingsForm(context, name, spec), main?.group && changedMeanwhile(context, main.group)),
        main?.group && may('admin', name) && deletion(context, name, main.group.counts),
      ];
    },
  };
}

/** Delete the group, or first cancel what is not finished. @param {string} name @param {Record<string, number>} counts */
function deletion(context, name, counts) {
  const status = ACTIONS.cancel.from.filter((key) => counts[key]);
  const unfinished = status.reduce((sum, key) => sum + counts[key], 0);
  const words = unfinished
    ? `It can be deleted once its jobs are finished; ${counted(unfinished, 'job')} ${unfinished === 1 ? 'is' : 'are'} not.`
    : 'Its jobs are finished, so it can be deleted, with their logs, its settings and its statistics.';
  return panel(
    'Delete this group',
    h(
      'div.delete-group',
      h('p', words),
      unfinished
        ? button('Cancel all…', () => askBulk(context, 'cancel', name, { status }))
        : button('Delete group…', () => askDeleteGroup(context, name, counts), { class: 'button danger' }),
    ),
  );
}

function changedMeanwhile(context, group) {
  const own = (g) => JSON.stringify({ ...g, counts: null, dead_letters: null, asleep: null });
  return own(group) === own(context.state.group)
    ? null
    : h(
        'span.bad',
        'Changed by another meanwhile. ',
        small('Reload', () => restart(context)),
      );
}

/** Read the group again and begin anew. */
function restart(context) {
  Object.assign(context.state, { group: null, error: null, round: (context.state.round ?? 0) + 1 });
  context.source('main').etag = '';
  context.reload('main');
}

/** @param {string} name */
function environment(entries) {
  const value = entries.map(([key, text]) => `${key}=${text}`).join('\n');
  const hint = 'NAME=value, one a line. Values that are shown as •••• stay as they are unless you change a line.';
  return field('Environment', h('textarea', { name: 'env_vars', rows: 4, spellcheck: 'false', value }), hint, 'whole');
}

function settingsForm(context, name, spec) {
  const { state } = context;
  const bounds = fieldsOf(spec, 'GroupChanges', 'GroupSettings');
  return h(
    'form.settings-form',
    { onSubmit: (event) => save(event, context, name) },
    h(
      'div',
      { 'data-keep': `settings${state.round ?? 0}`, class: 'form-grid' },
      SIMPLE.filter((key) => bounds[key]).map((key) => control(key, bounds[key], state.group[key])),
      ENDS.map((key) =>
        spanField(`Keep ${key}`, `retention.${key}`, state.group.retention?.[key], undefined, 'default'),
      ),
      policyField(state.group.retry),
      environment(Object.entries(state.group.env_vars ?? {})),
    ),
    state.error &&
      (state.error.status === 412
        ? h(
            'div.problem',
            { role: 'alert' },
            h('p', 'Somebody changed this group meanwhile, so nothing was saved. '),
            button('Reload their settings', () => restart(context)),
          )
        : problem(state.error)),
    may('admin', name) ? h('div.dialog-buttons', h('button.button.primary', { type: 'submit' }, 'Save')) : h('p.muted', 'You may not change them here.'),
  );
}

/** @param {string} key */
function control(key, bound, value) {
  if (bound.type === 'boolean')
    return h(
      'label.check-line.whole',
      h('input', { type: 'checkbox', name: key, checked: Boolean(value) }),
      ` ${LABELS[key]}`,
      h('span.hint', bound.description),
    );
  if (key === 'start_within') return numberField(key, LABELS[key], bound, value);
  const isNumber = bound.type === 'integer' && key !== 'rate_limit'; // a rate may have a time and a burst
  const props = isNumber ? { type: 'number', min: bound.minimum, max: bound.maximum } : { maxlength: bound.maxLength };
  return field(LABELS[key], h('input', { name: key, value: key === 'rate_limit' ? rateText(value) : (value ?? ''), placeholder: key === 'note' ? '' : 'default', ...props }), description(bound));
}

/** Only what differs, since PATCH keeps the rest. @param {FormData} form */
export function differences(form, group) {
  const changes = {};
  const textOf = (name) => String(form.get(name) ?? '').trim();
  for (const key of SIMPLE) {
    if (SWITCHES.includes(key)) {
      if (form.has(key) !== Boolean(group[key])) changes[key] = form.has(key);
      continue;
    }
    const text = textOf(key);
    const isRate = key === 'rate_limit';
    const before = isRate ? rateText(group[key]) : key === 'start_within' ? spanText(group[key]) : String(group[key] ?? '');
    if (text === before) continue;
    changes[key] = text === '' ? null : isRate ? rateOf(text) : /^(image|note|dead_letter_to)$/.test(key) ? text : numberOf(key, text);
  }
  const kept = {};
  for (const key of ENDS) {
    const text = textOf(`retention.${key}`);
    if (text !== spanText(group.retention?.[key])) kept[key] = text === '' ? null : secondsOf(text);
  }
  if (Object.keys(kept).length) changes.retention = kept;
  const policy = textOf('retry');
  if (policy !== (group.retry ? JSON.stringify(group.retry) : '')) changes.retry = policy === '' ? null : jsonOf(policy);
  const before = group.env_vars ?? {};
  const env = Object.fromEntries(
    textOf('env_vars')
      .split('\n')
      .filter((row) => row.includes('='))
      .map((row) => [row.slice(0, row.indexOf('=')).trim(), row.slice(row.indexOf('=') + 1).replace(/\r$/, '')]),
  );
  if (JSON.stringify(env) !== JSON.stringify(before)) changes.env_vars = env;
  return changes;
}

/** @param {SubmitEvent} event @param {string} name */
async function save(event, context, name) {
  event.preventDefault();
  const { state } = context;
  const changes = differences(new FormData(event.currentTarget), state.group);
  if (!Object.keys(changes).length) return toast('Nothing was changed.');
  try {
    if (Object.values(changes.env_vars ?? {}).some((value) => value === '••••')) changes.env_vars = await unmasked(name, changes.env_vars);
    await change('PATCH', groupApi(name), { group: changes }, state.etag ? { 'If-Match': state.etag } : undefined);
    toast('Saved.');
    restart(context);
  } catch (error) {
    state.error = error instanceof Refusal ? error : { code: 'form', message: String(error) };
    context.update();
  }
}

/** The environment with the true values of lines that are masked on the page. @param {string} name @param {Record<string, string>} env */
async function unmasked(name, env) {
  const { data } = await get(`${groupApi(name)}?reveal=1`);
  const real = data.group.env_vars ?? {};
  return Object.fromEntries(
    Object.entries(env).map(([key, value]) => {
      if (value !== '••••') return [key, value];
      if (real[key] === undefined || real[key] === '••••') throw new TypeError(`The value of ${key} is masked. Write it out to change the environment.`);
      return [key, real[key]];
    }),
  );
}
