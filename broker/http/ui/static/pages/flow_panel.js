/** The chart of an hour or a day, on the overview and on a group. */

import { flow } from '../chart.js';
import { h } from '../dom.js';
import { panel } from '../parts.js';

/** The window of the address. */
export const windowOf = ({ query }) => (query.get('window') === '24h' ? '24h' : '1h');

/** The chart of a window, with the choice of it. @param {string} none what it says while nothing was counted */
export function flowPanel(context, stats, none) {
  const window = windowOf(context);
  const choice = ['1h', '24h'].map((each) =>
    h('a', { href: context.href({ window: each === '1h' ? '' : each }), 'aria-current': each === window ? 'true' : null }, each.replace('h', ' h')),
  );
  const body = stats?.slots?.length ? flow(stats.slots, window === '24h' ? 1800 : 60, 'Jobs in, out and failed') : h('div.chart-empty', stats && none);
  return panel('Flow', body, h('div.choice', choice), { class: 'grow' });
}
