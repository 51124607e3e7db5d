/** A job: what it is, why, what happened to it, what it works on, and what it prints. */

import { get, jobApi, may, now, session } from '../api.js';
import { ask } from '../dialog.js';
import { h, hold } from '../dom.js';
import { bytes, counted, isMasked, ms, span } from '../format.js';
import { LogView } from '../log.js';
import { ENDS, badge, button, copy, crumbs, empty, facts, groupPage, icon, jobPage, link, panel, rawJson, small, theirs, when } from '../parts.js';
import { parsed, tree } from '../tree.js';
import { ACTIONS, askOne } from './actions.js';
import { MOST, flowPicture } from './flow.js';
import { reasons } from './group_more.js';
import { far, inputs, result } from './job_result.js';
import { ties } from './ties.js';

/** @param {string} status */
const isOver = (status) => ENDS.includes(status);

export function job(context) {
  const [name, id] = context.args;
  const { state } = context;
  const path = jobApi(name, id);
  const key = (action) => () => {
    const now_ = context.source('main')?.data?.job;
    if (now_ && may('produce', name) && ACTIONS[action].from.includes(now_.status)) askOne(context, action, now_);
  };
  return {
    title: `Job ${id}`,
    sources: {
      main: { url: path, live: `job:${name}/${id}` },
      why: { url: `${path}/why`, follows: 'main', every: 5, fallback: {} },
      history: { url: `${path}/history`, follows: 'main', fallback: {} },
      flow: { url: `${path}/flow?n=${MOST}`, follows: 'main', every: 5, fallback: {} },
      ...(may('consume', name) ? { given: { url: `${path}/inputs`, follows: 'main', fallback: {} } } : {}),
    },
    keys: { r: key('retry'), c: key('cancel'), d: key('delete'), p: key('promote') },
    missing: () => [
      crumbs(name),
      h('h1.mono', id),
      empty(
        'There is no such job.',
        h('p', 'It was deleted, or it is past its retention: finished jobs are kept 24 hours, failed ones 7 days, unless the group says otherwise.'),
        link(`Jobs of ${name}`, groupPage(name)),
      ),
    ],
    say: ({ main }) => `Job ${id} is ${main.job.status}`,
    stop: () => state.log?.stop(),
    seen: (isSeen) => (isSeen ? state.log?.start() : state.log?.stop()),
    view: ({ main, ...more }) => (main ? view(context, main.job, more) : [crumbs(name), h('div.page-head', h('h1.mono', id))]),
  };
}

function view(context, one, { why, history, flow, given }) {
  const { state } = context;
  if (!state.log || (state.log.isOver && !isOver(one.status))) {
    state.log = new LogView(one.group_name, one.id, isOver(one.status));
    state.log.start();
  }
  return [
    crumbs(one.group_name),
    h('div.page-head', h('h1.mono', one.id), badge(one.status), h('span.muted', doing(one, why)), one.status === 'running' && far(one), actions(context, one)),
    (why?.verdict || one.error) && h('section.panel', why?.verdict && reasons(why, one.group_name), one.error && theirs(one.error, 'error-text mono')),
    flowPicture(context, one, flow),
    h(
      'div.split',
      h('div.grow.stack', timeline(one, history), result(context, one, reveal), inputs(given, flow), payload(context, one), h('section.panel', h('header.panel-head', h('h2', 'Log')), hold(state.log.element))),
      h('div.stack.side-stack', about(one, flow), deliveries(one), settings(one)),
    ),
  ];
}

/** What it does now. When a job that failed is tried again, or one that waited for others is due, only `why` says. */
function doing(one, why) {
  const held = one.expires_at ? `, lease ${span((ms(one.expires_at) - now()) / 1000)}` : '';
  if (one.status === 'running') return `${span((now() - ms(one.started_at ?? one.created_at)) / 1000)}${held}, delivery ${one.deliveries}`;
  if (isOver(one.status) && one.started_at) return `ran ${span((ms(one.completed_at) - ms(one.started_at)) / 1000)}`;
  if (one.waits_for?.key) return 'waits for a place of its key';
  if (one.waits_for) return `waits for ${counted(one.waits_for.jobs, 'job')}`;
  if (one.status === 'delayed' && (one.attempts || one.after)) {
    const next = why?.reasons?.find((reason) => /^(retry_delay|delayed_until)$/.test(reason.code))?.until;
    const word = one.attempts ? 'tried again' : 'due';
    return next ? `${word} in ${span((ms(next) - now()) / 1000)}` : word;
  }
  if (one.status === 'delayed') return `due in ${span((ms(one.created_at) + one.delay * 1000 - now()) / 1000)}`;
  return one.status === 'queued' ? `since ${span((now() - ms(one.created_at)) / 1000)}` : '';
}

function actions(context, one) {
  const raw = rawJson(jobApi(one.group_name, one.id));
  if (!may('produce', one.group_name)) return h('div.actions', raw);
  const fit = Object.entries(ACTIONS).filter(([action, { from }]) => from.includes(one.status) && !(action === 'promote' && one.waits_for));
  return h(
    'div.actions',
    fit.map(([action, { verb }]) =>
      button(`${verb}…`, () => askOne(context, action, one), {
        class: `button ${action === 'retry' && one.status === 'failed' && !one.retry_at ? 'primary' : ''}`,
      }),
    ),
    link('Copy…', `${groupPage(one.group_name)}/enqueue?copy=${one.id}`),
    raw,
  );
}

function about(one, flow) {
  return panel(
    'About',
    facts([
        ['Group', h('a', { href: groupPage(one.group_name) }, theirs(one.group_name))],
        ['Image', theirs(one.image || '–')],
        ['Created', when(one.created_at)],
        one.started_at && ['Started', when(one.started_at)],
        one.completed_at && ['Ended', when(one.completed_at)],
        ...ties(one, flow),
        ...deadlines(one),
        one.reason && ['Reason', [h('code.reason', one.reason), h('span.muted', meaning(one))]],
        one.attempts && ['Failed', counted(one.attempts, 'time')],
        one.dead_at && ['Failed for good', when(one.dead_at)],
        one.retry_of && [one.dead_letter_of ? 'Copy of' : 'Retry of', h('a.mono', { href: jobPage(one.dead_letter_of ?? one.group_name, one.retry_of) }, one.retry_of)],
        one.dead_letter && ['Dead letter', h('a.mono', { href: jobPage(one.dead_letter.group_name, one.dead_letter.id) }, one.dead_letter.id)],
        one.retry_at && ['Retried by', h('a.mono', { href: jobPage(one.group_name, one.retry_at) }, one.retry_at)],
        one.traceparent
          ? [
              'Trace',
              [
                h('code', one.traceparent.split('-')[1] ?? one.traceparent),
                ' ',
                small('Copy', (event) => copy(one.traceparent.split('-')[1], event.currentTarget)),
              ],
            ]
          : null,
    ]),
  );
}

/** By when it must start and end, and how much of that time remains. */
function deadlines(one) {
  const row = (name, at, ends) => at && [name, [when(at), h('span.muted', ends ? '' : ms(at) > now() ? ` in ${span((ms(at) - now()) / 1000)}` : ' passed')]];
  const ended = isOver(one.status);
  return [row('Must start', one.start_before, ended || one.deliveries), row('Must end', one.end_before, ended)];
}

/** What a reason means that is about a deadline. */
function meaning(one) {
  if (one.reason === 'expired') return ' nobody took it in time';
  return one.reason === 'timeout' && one.end_before && ms(one.completed_at) >= ms(one.end_before) ? ' it did not end in time' : '';
}

function settings(one) {
  const env = Object.keys(one.env_vars ?? {});
  return panel(
    'Settings',
    facts([
        ['Timeout', span(one.timeout)],
        ['Delay', span(one.delay)],
        ['Priority', one.priority],
        one.retry ? ['Retries', policy(one.retry)] : ['Retries left', `${one.max_retries}, after ${span(one.retries_delay)}`],
        ['Delivered', counted(one.deliveries, 'time')],
        env.length && ['Environment', env.map((key) => h('code.word', key))],
    ]),
  );
}

/** A retry policy in words. */
export function policy(retry) {
  if (!retry.max) return 'never';
  const grows = { constant: '', linear: ', then each time as much longer', exponential: `, then each time ${retry.factor} times as long` };
  const most = retry.backoff === 'constant' ? '' : `, at most ${span(retry.cap)}`;
  const words = [`up to ${counted(retry.max, 'time')}, after ${span(retry.delay)}${grows[retry.backoff]}${most}${retry.jitter ? ` (±${retry.jitter} %)` : ''}`];
  if (retry.except) words.push(`not after ${retry.except.join(', ')}`);
  if (retry.only) words.push(`only after ${retry.only.join(', ')}`);
  if (retry.max_age) words.push(`not later than ${span(retry.max_age)} after its creation`);
  return words.join('; ');
}

const SIGNS = { created: 'queued', due: 'delayed', taken: 'running', lease_lost: 'warn', late: 'warn', released: 'queued', waited: 'delayed', promoted: 'queued', retried: 'queued' };

/** The events of a job, from its own fields where the broker keeps no history; a delayed one gets the time when it is due. */
export function eventsOf(one, history) {
  const due = one.delay && !one.attempts && !one.waits_for && !one.after ? { at: new Date(ms(one.created_at) + one.delay * 1000).toISOString(), what: 'due' } : null;
  if (history?.events) return one.status === 'delayed' && due ? [...history.events, due] : history.events;
  return [
    { at: one.created_at, what: 'created' },
    due,
    one.started_at && { at: one.started_at, what: 'taken' },
    one.completed_at && { at: one.completed_at, what: one.status },
  ].filter(Boolean);
}

function timeline(one, history) {
  const events = eventsOf(one, history);
  const step = (event, at) => {
    const gap = at ? (ms(event.at) - ms(events[at - 1].at)) / 1000 : 0;
    return h(
      'li',
      { key: `${at}` },
      icon(SIGNS[event.what] ?? event.what),
      h('span.strong', event.what.replaceAll('_', ' ')),
      h('span.muted', when(event.at), at && gap >= 0.001 ? ` +${span(gap)}` : ''),
      (event.by || event.reason) && h('span.muted', event.by ? ['by ', theirs(event.by)] : '', event.reason ? [' ', h('code', event.reason)] : ''),
      event.job && h('a.mono', { href: jobPage(one.group_name, event.job) }, event.job),
    );
  };
  return panel('Timeline', h('ol.timeline', events.map(step)), history?.is_whole === false && h('span.muted', 'Earlier events are not kept.'));
}

function deliveries(one) {
  const all = [...(one.receipts ?? [])].reverse();
  if (!all.length) return null;
  return panel(
    'Deliveries',
    all.map((receipt) =>
      h(
        'div.receipt',
        { key: `d${receipt.delivery}` },
        h('p', h('b', `Delivery ${receipt.delivery ?? ''} `), badge(receipt.outcome || 'released', receipt.outcome || 'no report')),
        facts([
            ['Worker', [theirs(receipt.worker || '–'), receipt.host ? [h('span.muted', ' on '), theirs(receipt.host)] : '']],
            ['Waited · ran', `${span((receipt.wait_ms ?? 0) / 1000)} · ${span((receipt.run_ms ?? 0) / 1000)}`],
            receipt.exit_code !== undefined && receipt.exit_code !== null ? ['Exit', h('code', receipt.exit_code)] : null,
            receipt.signal && ['Signal', h('code', receipt.signal)],
            receipt.cpu_ms !== undefined ? ['CPU', span(receipt.cpu_ms / 1000)] : null,
            receipt.max_rss_bytes !== undefined ? ['Memory', bytes(receipt.max_rss_bytes)] : null,
            receipt.log_bytes && ['Output', bytes(receipt.log_bytes)],
            receipt.note && ['Note', theirs(receipt.note)],
        ]),
      ),
    ),
  );
}

function payload(context, one) {
  const { state } = context;
  const text = state.revealed ?? one.payload ?? '';
  if (state.payloadText !== text) Object.assign(state, { payloadText: text, value: text.length <= 4e6 ? parsed(text) : undefined });
  const mode = state.mode ?? (state.value ? 'tree' : 'text');
  const tab = (word) =>
    h(
      'button',
      {
        'aria-pressed': mode === word ? 'true' : 'false',
        onClick: () => {
          state.mode = word;
          context.update();
        },
      },
      word,
    );
  const download = h('button', { onClick: () => save(text, one.id) }, 'download');
  const masked =
    isMasked(text) && may('admin', one.group_name) && session.csrf ? small('Reveal…', () => reveal(context, one)) : null;
  const body = !text
    ? h('p.calm.muted', 'No payload.')
    : mode === 'tree' && state.value
      ? h('div', { 'data-keep': `tree${text.length}${Boolean(state.revealed)}` }, tree(state.value))
      : h('pre.payload', { tabindex: 0 }, h('bdi', shown(state, mode, text)));
  return panel(
    'Payload',
    body,
    h('div.choice', h('span.muted', bytes(new Blob([text]).size)), masked, state.value && tab('tree'), tab('text'), tab('raw'), download),
  );
}

/** @param {string} mode @param {string} text */
function shown(state, mode, text) {
  const whole = mode === 'text' && state.value && text.length < 500000 ? JSON.stringify(state.value, null, 2) : text;
  return whole.length > 200000 ? `${whole.slice(0, 200000)}\n… ${whole.length - 200000} further characters: download it` : whole;
}

/** @param {string} text @param {string} id */
function save(text, id) {
  const href = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
  h('a', { href, download: `${id}.txt`, target: '_self' }).click();
  setTimeout(() => URL.revokeObjectURL(href), 1000);
}

function reveal(context, one) {
  ask({
    title: 'Reveal the masked values?',
    verb: 'Reveal',
    text: h('p', 'The audit notes that you saw them. Masking is a curtain, not a wall: a token with the scope read sees all of it through the API.'),
    act: async () => {
      const { data } = await get(`${jobApi(one.group_name, one.id)}?reveal=1`);
      Object.assign(context.state, { revealed: data.job.payload ?? '', revealedResult: data.job.result, mode: undefined });
      context.update();
    },
  });
}
