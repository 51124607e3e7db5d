/** The jobs that wait for each other: a picture of them by layers, and the same as a list. */

import { find, h, hold } from '../dom.js';
import { counted } from '../format.js';
import { STATUSES, badge, icon, jobPage, panel, small, theirs } from '../parts.js';

/** How many jobs a picture has at most. */
export const MOST = 200;
const WIDTH = 168;
const HEIGHT = 46;
/** What the line with the retry adds to a box. */
const RETRIED = 16;
const COLUMN = 232;
const GAP = 12;
const EDGE = 10;
const MOST_WAYS = 1000;
/** The sizes of a picture, as parts of the whole one. */
const ZOOMS = [0.15, 0.3, 0.5, 0.75, 1, 1.5];
const WHOLE = 4;

/** @typedef {{id: string, group_name?: string, image?: string, status?: string, reason?: string, needs?: number, parents?: string[], leader?: string, retry_at?: string, isWay?: boolean}} FlowJob */

/** The jobs that a job waits for, with the one whose unique key it wants. @param {FlowJob} job */
const parentsOf = (job) => [...(job.parents ?? []), ...(job.leader ? [job.leader] : [])];

/**
 * The jobs in layers: a job stands right of all jobs that it waits for, and near them.
 * @param {FlowJob[]} jobs
 */
export function layersOf(jobs) {
  const known = new Map(jobs.map((job) => [job.id, job]));
  const depths = new Map();
  const depth = (id) => {
    if (!depths.has(id)) {
      depths.set(id, 0); // a ring cannot be made; if there is one, it ends here
      const above = parentsOf(known.get(id)).filter((parent) => known.has(parent));
      depths.set(id, Math.max(-1, ...above.map(depth)) + 1);
    }
    return depths.get(id);
  };
  const layers = [];
  for (const job of jobs) (layers[depth(job.id)] ??= []).push(job);
  addWays(jobs, depths, layers);
  return sorted(layers);
}

/** An arrow over several layers gets a place in each between, so that it goes around the boxes there. */
function addWays(jobs, depths, layers) {
  let n = 0;
  for (const job of jobs) {
    for (const parent of parentsOf(job).filter((id) => depths.has(id))) {
      let from = parent;
      for (let at = depths.get(parent) + 1; at < depths.get(job.id) && n < MOST_WAYS; at += 1, n += 1) {
        const way = { id: `${parent} ${job.id} ${at}`, isWay: true, parents: [from] };
        layers[at].push(way);
        from = way.id;
      }
    }
  }
}

/** Each layer in the order of what its jobs wait for. @param {FlowJob[][]} layers */
function sorted(layers) {
  const rows = new Map();
  for (const layer of layers) {
    const middle = (job) => {
      const above = parentsOf(job).filter((parent) => rows.has(parent));
      return above.length ? above.reduce((sum, parent) => sum + rows.get(parent), 0) / above.length : Infinity;
    };
    const wanted = new Map(layer.map((job) => [job.id, middle(job)]));
    layer.sort((a, b) => (wanted.get(a.id) === wanted.get(b.id) ? 0 : wanted.get(a.id) - wanted.get(b.id)));
    layer.forEach((job, at) => rows.set(job.id, at - (layer.length - 1) / 2));
  }
  return layers;
}

/** The picture of jobs; the box of one job is marked. @param {FlowJob[][]} layers @param {string} here @param {number} zoom */
function picture(layers, here, zoom) {
  const tallest = Math.max(...layers.map((layer) => layer.length));
  const jobs = jobsIn(layers);
  const more = jobs.some((job) => job.retry_at) ? RETRIED : 0;
  const row = HEIGHT + more + GAP;
  const places = new Map();
  layers.forEach((layer, x) =>
    layer.forEach((job, y) => places.set(job.id, { x: EDGE + x * COLUMN, y: EDGE + (y + (tallest - layer.length) / 2) * row })),
  );
  const width = 2 * EDGE + (layers.length - 1) * COLUMN + WIDTH;
  const height = 2 * EDGE + (tallest - 1) * row + HEIGHT + more;
  return h(
    'svg',
    { class: 'flow-picture', width: width * zoom, height: height * zoom, viewBox: `0 0 ${width} ${height}`, 'aria-hidden': 'true' },
    jobs.map((job) => parentsOf(job).map((parent) => places.has(parent) && arrow(places, parent, job))),
    jobs.map((job) => h('foreignObject', { ...places.get(job.id), width: WIDTH, height: HEIGHT + (job.retry_at ? RETRIED : 0) }, box(job, here))),
  );
}

/** The jobs of the layers, without the places of arrows. @param {FlowJob[][]} layers */
const jobsIn = (layers) => layers.flat().filter((job) => !job.isWay);

/** The arrow from a job to one that waits for it; a broken line for a unique key. @param {string} parent @param {FlowJob} job */
function arrow(places, parent, job) {
  const [from, to] = [places.get(parent), places.get(job.id)];
  let [x, y] = [from.x + WIDTH, from.y + HEIGHT / 2];
  let d = `M${x} ${y}`;
  const curve = (end, below) => {
    const bend = Math.max(20, (end - x) / 2);
    d += `C${x + bend} ${y} ${end - bend} ${below} ${end} ${below}`;
    [x, y] = [end, below];
  };
  for (let at = 1; at * COLUMN < to.x - from.x; at += 1) {
    const way = places.get(`${parent} ${job.id} ${Math.round((from.x - EDGE) / COLUMN) + at}`);
    if (!way) continue;
    curve(way.x, way.y + HEIGHT / 2);
    d += `H${(x += WIDTH)}`;
  }
  curve(to.x - 7, to.y + HEIGHT / 2);
  return [h('path', { class: `flow-arrow ${parent === job.leader ? 'is-key' : ''}`, d }), h('path.flow-tip', { d: `M${x} ${y - 4}l7 4l-7 4z` })];
}

/** @param {FlowJob} job @param {string} here */
function box(job, here) {
  const words = [
    h('span.flow-image', icon(job.status || 'cancelled'), theirs(job.image || 'gone')),
    h('span.flow-id', job.status ?? '', ' ', h('span.mono', `…${job.id.slice(-6)}`)),
  ];
  const kind = `flow-job is-${job.status ?? 'gone'} ${job.id === here ? 'is-here' : ''}`;
  if (!job.group_name) return h('span', { class: kind }, words);
  const title = `${job.image}\n${job.id} of ${job.group_name}, ${job.status}${job.reason ? `, ${job.reason}` : ''}`;
  const own = h('a', { class: kind, href: jobPage(job.group_name, job.id), tabindex: -1, title }, words);
  return job.retry_at ? h('div.flow-retried', own, retry(job, h('span.mono', `…${job.retry_at.slice(-6)}`), { tabindex: -1 })) : own;
}

/** The link to the job that retries another. @param {FlowJob} job @param {Record<string, any>} [props] */
const retry = (job, id, props) => h('span.muted', 'retried as ', h('a.mono', { href: jobPage(job.group_name, job.retry_at), ...props }, id));

/** A link to a job, or its id if it is gone. @param {FlowJob} job */
export const jobLink = (job) => (job.group_name ? h('a.mono', { href: jobPage(job.group_name, job.id) }, job.id) : h('span.mono', job.id));

/** The same as a list, for a keyboard and a screen reader. @param {FlowJob[]} jobs @param {string} here */
function list(jobs, here) {
  const known = new Map(jobs.map((job) => [job.id, job]));
  const row = (job) =>
    h(
      'li',
      { key: job.id, 'aria-current': job.id === here ? 'true' : null },
      job.status ? badge(job.status) : badge('cancelled', 'gone'),
      jobLink(job),
      job.image && theirs(job.image),
      job.reason && h('code.reason', job.reason),
      parentsOf(job).length > 0 &&
        h('span.muted', 'after ', parentsOf(job).map((id, at) => [at ? ', ' : '', jobLink(known.get(id) ?? { id })]), job.leader ? ', for its unique key' : ''),
      job.retry_at && retry(job, job.retry_at),
    );
  return h('ul.flow-list', jobs.map(row));
}

/** The picture and the list, made anew only when they change: a large one takes time. @param {string} here @param {FlowJob[]} jobs */
function drawn(state, here, jobs) {
  const zoom = ZOOMS[state.zoom ?? WHOLE];
  const key = `${zoom}${JSON.stringify(jobs)}`;
  if (state.drawn?.key !== key) {
    const layers = layersOf(jobs);
    state.drawn = { key, boxes: picture(layers, here, zoom), rows: list(jobsIn(layers), here) };
  }
  return state.drawn;
}

/** The panel with the flow around a job; null for a job without one. @param {{jobs: FlowJob[], more?: number} | undefined} flow */
export function flowPicture(context, one, flow) {
  const { state } = context;
  if (!flow?.jobs || (flow.jobs.length < 2 && !flow.more)) return null;
  const { boxes, rows } = drawn(state, one.id, flow.jobs);
  if (!state.hasShownFlow) setTimeout(() => showHere(state));
  return panel(
    'Flow',
    [
      flow.more ? h('p.flow-more.muted', `The nearest ${flow.jobs.length} jobs are drawn; ${counted(flow.more, 'further job')} ${flow.more === 1 ? 'belongs' : 'belong'} to it.`) : null,
      h(
        'div.flow-box',
        { tabindex: 0, role: 'region', 'aria-label': 'The picture of the flow; the list has the same jobs' },
        hold(boxes),
      ),
      h('details.numbers.flow-numbers', h('summary', 'As a list'), hold(rows)),
    ],
    [summary(flow), ' ', zoom(context)],
  );
}

/** How many jobs there are, and how many of those that are drawn have each status. @param {{jobs: FlowJob[], more?: number}} flow */
function summary(flow) {
  const n = (status) => flow.jobs.filter((job) => (job.status ?? 'gone') === status).length;
  const words = [...STATUSES, 'gone'].filter(n).map((status) => `${n(status)} ${status}`).join(', ');
  return h('span.muted', `${counted(flow.jobs.length + (flow.more ?? 0), 'job')}: ${words}${flow.more ? ', …' : ''}`);
}

/** Two buttons for the size of the picture. */
function zoom(context) {
  const { state } = context;
  const at = state.zoom ?? WHOLE;
  const to = (sign, name, next) =>
    small(
      sign,
      () => {
        state.zoom = next;
        state.hasShownFlow = false;
        context.update();
      },
      { 'aria-label': name, title: name, disabled: !(next in ZOOMS) },
    );
  return h('span.zoom', to('−', 'Zoom out', at - 1), to('+', 'Zoom in', at + 1));
}

/** Once, scroll a large picture to the job. */
function showHere(state) {
  const [here, frame] = [find('.flow-job.is-here'), find('.flow-box')];
  if (!here || !frame || state.hasShownFlow) return;
  state.hasShownFlow = true;
  const [inner, outer] = [here.getBoundingClientRect(), frame.getBoundingClientRect()];
  frame.scrollBy(inner.left - outer.left - (outer.width - inner.width) / 2, inner.top - outer.top - (outer.height - inner.height) / 2);
}
