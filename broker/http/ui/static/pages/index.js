/** Which page stands at which address below `ui/`. */

import { h } from '../dom.js';
import { empty, link } from '../parts.js';
import { batch, batches } from './batch.js';
import { bulks, bulkOne } from './bulk.js';
import { docs } from './docs.js';
import { enqueue } from './enqueue.js';
import { finding } from './finding.js';
import { group } from './group.js';
import { causes, groupSettings, groupWhy } from './group_more.js';
import { job } from './job.js';
import { login } from './login.js';
import { groups, overview } from './overview.js';
import { schedule, schedules } from './schedule.js';
import { scheduleForm } from './schedule_form.js';
import { settings } from './settings.js';
import { tutorial } from './tutorial.js';
import { workers } from './workers.js';

function lost() {
  return {
    title: 'No such page',
    view: () => [h('h1', 'No such page'), empty('There is nothing at this address.', link('Overview', 'ui/'))],
  };
}

/** @type {{pattern: RegExp, page: (context: any) => any}[]} */
export const pages = [
  { pattern: /^$/, page: overview },
  { pattern: /^groups$/, page: groups },
  { pattern: /^groups\/([^/]+)$/, page: group },
  { pattern: /^groups\/([^/]+)\/causes$/, page: causes },
  { pattern: /^groups\/([^/]+)\/why$/, page: groupWhy },
  { pattern: /^groups\/([^/]+)\/settings$/, page: groupSettings },
  { pattern: /^groups\/([^/]+)\/enqueue$/, page: enqueue },
  { pattern: /^groups\/([^/]+)\/jobs\/([^/]+)$/, page: job },
  { pattern: /^groups\/([^/]+)\/batches$/, page: batches },
  { pattern: /^groups\/([^/]+)\/batches\/([^/]+)$/, page: batch },
  { pattern: /^groups\/([^/]+)\/new-schedule$/, page: scheduleForm },
  { pattern: /^groups\/([^/]+)\/schedules\/([^/]+)\/edit$/, page: scheduleForm },
  { pattern: /^groups\/([^/]+)\/schedules$/, page: schedules },
  { pattern: /^groups\/([^/]+)\/schedules\/([^/]+)$/, page: schedule },
  { pattern: /^enqueue$/, page: enqueue },
  { pattern: /^workers$/, page: workers },
  { pattern: /^bulk$/, page: bulks },
  { pattern: /^bulk\/([^/]+)$/, page: bulkOne },
  { pattern: /^settings$/, page: settings },
  { pattern: /^docs$/, page: docs },
  { pattern: /^tutorial$/, page: tutorial },
  { pattern: /^find$/, page: finding },
  { pattern: /^login$/, page: login },
  { pattern: /.*/, page: lost },
];
