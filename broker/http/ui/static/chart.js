/** Charts drawn by hand: a spark line in a row, and a flow of an hour or a day with its table. */

import { h } from './dom.js';
import { clock, exact, rate, short } from './format.js';
import { choices } from './state.js';
import { now } from './api.js';

/** The points of a line. @param {number[]} values @param {number} top @param {number} height */
export function points(values, top, height) {
  return values.map((value, at) => `${at + 0.5},${(height - (value / top) * height).toFixed(2)}`).join(' ');
}

/** The next of 1, 2, 5 times a power of ten. @param {number} n */
export function niceTop(n) {
  if (!(n > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(n));
  for (const step of [1, 2, 5]) if (n <= step * power) return step * power;
  return 10 * power;
}

/** @param {number[]} values @param {string} label @param {string} [kind] */
export function spark(values, label, kind = '') {
  const top = Math.max(...values, 1);
  const line = points(values, top * 1.1, 20);
  return h(
    'svg',
    { class: `spark ${kind}`, viewBox: `0 0 ${Math.max(values.length, 1)} 20`, preserveAspectRatio: 'none', role: 'img', 'aria-label': label },
    h('polygon.area', { points: `0.5,20 ${line} ${values.length - 0.5},20` }),
    h('polyline.stroke', { points: line }),
  );
}

/**
 * @typedef {{at: string | number, in: number, out: number, failed: number, [key: string]: any}} Slot
 * @param {Slot[]} slots @param {number} slotS @param {string} label
 */
export function flow(slots, slotS, label) {
  const top = niceTop(Math.max(...slots.map((slot) => Math.max(slot.in, slot.out, slot.failed)), 2));
  return h(
    'figure.chart',
    legend(slots, slotS),
    h(
      'div.plot',
      h('span.axis-top', { 'aria-hidden': 'true' }, short(top)),
      h('span.axis-mid', { 'aria-hidden': 'true' }, short(top / 2)),
      drawing(slots, top, label),
      hover(slots),
    ),
    axis(slots),
    numbers(slots, slotS),
  );
}

/** @param {Slot[]} slots @param {number} slotS */
function drawing(slots, top, label) {
  const width = Math.max(slots.length, 1);
  const over = slots.slice(0, -1); // the last slot is not over: in a line it would look like a fall
  const line = (key) =>
    points(
      over.map((slot) => slot[key]),
      top,
      100,
    );
  const begun = Math.max(...slots.slice(-1).map((slot) => Math.max(slot.in, slot.out)), 0);
  const begunHeight = (begun / top) * 100;
  const bar = ({ failed }, at) => {
    const height = Math.max(1.5, (failed / top) * 100);
    return failed > 0 && h('rect.bar-failed', { x: at + 0.15, width: 0.7, y: 100 - height, height });
  };
  return h(
    'svg.flow',
    { viewBox: `0 0 ${width} 100`, preserveAspectRatio: 'none', role: 'img', 'aria-label': `${label}; the table below has the numbers` },
    [25, 50, 75].map((y) => h('line.grid', { x1: 0, x2: width, y1: y, y2: y })),
    h('polygon.area', { points: `0.5,100 ${line('out')} ${width - 1.5},100` }),
    h('rect.bar-begun', { x: width - 0.85, width: 0.7, y: 100 - begunHeight, height: begunHeight }),
    h('polyline.stroke-in', { points: line('in') }),
    h('polyline.stroke', { points: line('out') }),
    slots.map(bar),
  );
}

function legend(slots, slotS) {
  const sum = (key) => slots.reduce((total, slot) => total + (slot[key] ?? 0), 0);
  const entry = (kind, word, n) =>
    h(
      'span',
      { class: `key ${kind}` },
      h('i', { 'aria-hidden': 'true' }),
      `${word} `,
      h('b', { title: `${rate(n / Math.max(1, slots.length * slotS))}/s on average` }, short(n)),
    );
  return h(
    'figcaption.legend',
    entry('key-in', 'in', sum('in')),
    entry('key-out', 'out', sum('out')),
    entry('key-failed', 'failed', sum('failed')),
    h('span.muted', slotS >= 1800 ? 'by half hour' : 'by minute'),
  );
}

/** @param {Slot[]} slots */
function hover(slots) {
  return h(
    'div.hover',
    { 'aria-hidden': 'true' },
    slots.map((slot) =>
      h('span', { title: `${clock(slot.at, choices.isUtc, now())}\nin ${exact(slot.in)}  out ${exact(slot.out)}  failed ${exact(slot.failed)}` }),
    ),
  );
}

/** @param {Slot[]} slots */
function axis(slots) {
  if (!slots.length) return null;
  const at = [0, Math.floor(slots.length / 2), slots.length - 1];
  return h(
    'div.axis',
    { 'aria-hidden': 'true' },
    at.map((n) =>
      h(
        'span',
        clock(slots[n].at, choices.isUtc, now())
          .slice(-8)
          .replace(/^(\d\d:\d\d):\d\d$/, '$1'),
      ),
    ),
  );
}

/** @param {Slot[]} slots @param {number} slotS */
function numbers(slots, slotS) {
  const busy = slots.filter((slot) => slot.in || slot.out || slot.failed);
  const columns = ['in', 'out', 'failed'];
  return h(
    'details.numbers',
    h('summary', 'The same as a table'),
    h(
      'div.table-box.short',
      { tabindex: 0, role: 'region', 'aria-label': 'Numbers of the chart' },
      h(
        'table',
        h(
          'thead',
          h(
            'tr',
            h('th', { scope: 'col' }, 'from'),
            columns.map((key) => h('th', { scope: 'col', class: 'right' }, key)),
          ),
        ),
        h(
          'tbody',
          busy.map((slot) =>
            h(
              'tr',
              h('th', { scope: 'row' }, clock(slot.at, choices.isUtc, now())),
              columns.map((key) => h('td.right', exact(slot[key]))),
            ),
          ),
        ),
      ),
    ),
    h(
      'p.hint',
      `${slotS >= 1800 ? 'Half hours' : 'Minutes'} in which something happened. Counts, not accounts: the last 10 s of a broker that was killed are missing.`,
    ),
  );
}
