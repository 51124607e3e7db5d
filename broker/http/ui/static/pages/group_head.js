/** What stands above all pages of a group. */

import { may } from '../api.js';
import { h } from '../dom.js';
import { ago, badge, button, groupPage, icon, theirs } from '../parts.js';
import { pauseGroup } from './actions.js';

/** @param {string} name */
const tabsOf = (name) => [
  ['', 'Jobs'],
  ['/batches', 'Batches'],
  ['/schedules', 'Schedules'],
  ['/causes', 'Causes'],
  ['/why', 'Why?'],
  may('admin', name) && ['/settings', 'Settings'],
  may('produce', name) && ['/enqueue', 'Enqueue'],
];

/** The heading of all pages of a group. @param {string} name @param {string} here */
export function groupHead(context, name, group, here) {
  return [
    h(
      'div.page-head',
      h('h1', theirs(name)),
      group?.paused && badge('paused'),
      may('admin', name) &&
        group &&
        h(
          'div.actions',
          button(group.paused ? 'Resume' : 'Pause…', () => pauseGroup(context, name, group.paused)),
        ),
    ),
    group?.paused &&
      h(
        'p.notice',
        icon('paused'),
        h(
          'span',
          'Paused',
          group.paused_by ? [' by ', theirs(group.paused_by)] : '',
          group.paused_at ? [' ', ago(group.paused_at)] : '',
          group.note ? [': “', theirs(group.note), '”'] : '',
          '. No job of it is given to a worker.',
        ),
      ),
    h(
      'nav.tabs',
      { 'aria-label': 'Pages of this group' },
      tabsOf(name).map((tab) => tab && h('a', { href: groupPage(name) + tab[0], 'aria-current': tab[0] === here ? 'page' : null }, tab[1])),
    ),
  ];
}
