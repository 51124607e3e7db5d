/** A table of jobs, of a group or of a batch. */

import { now } from '../api.js';
import { h } from '../dom.js';
import { line, ms, span } from '../format.js';
import { badge, jobPage, theirs, when } from '../parts.js';
import { table } from '../table.js';
import { far } from './job_result.js';

const ran = (job) => (job.started_at ? span((ms(job.completed_at ?? now()) - ms(job.started_at)) / 1000) : '–');

/** The group that has the copy of a job that failed for good, with a link to the copy. @param {{group_name: string, id: string}} copy */
const letterLink = (copy) => h('a', { href: jobPage(copy.group_name, copy.id), title: copy.id }, theirs(copy.group_name));

/** @param {string} name @param {any[]} jobs @param {string} caption @param {import('../table.js').Selection} [select] */
export function jobRows(name, jobs, caption, select) {
  const key = { label: 'Key', kind: 'cut', cell: (job) => (job.key ? theirs(line(job.key, 60)) : h('span.muted', '–')) };
  const letter = { label: 'Dead letter', kind: 'cut', cell: (job) => (job.dead_letter ? letterLink(job.dead_letter) : h('span.muted', '–')) };
  return table({
    caption,
    rows: jobs,
    keyOf: (job) => job.id,
    select,
    columns: [
      { label: 'Job', isHead: true, cell: (job) => h('a.mono', { href: jobPage(name, job.id) }, job.id) },
      { label: 'Status', cell: (job) => [badge(job.status), job.status === 'running' && [' ', far(job, true)]] },
      { label: 'Image', kind: 'cut', cell: (job) => theirs(line(job.image ?? '', 60)) },
      ...(jobs.some((job) => job.key) ? [key] : []),
      { label: 'Created', isNumber: true, cell: (job) => when(job.created_at) },
      { label: 'Ran', isNumber: true, cell: ran },
      {
        label: 'Reason and error',
        kind: 'cut grow',
        cell: (job) => (job.reason || job.error ? [job.reason && h('code.reason', job.reason), ' ', theirs(line(job.error ?? ''))] : h('span.muted', '–')),
      },
      { label: 'Payload', kind: 'cut grow mono', cell: (job) => (job.payload ? theirs(line(job.payload, 256)) : h('span.muted', '–')) },
      ...(jobs.some((job) => job.dead_letter) ? [letter] : []),
      {
        label: 'Retry',
        cell: (job) => [
          job.retry_of && h('a', { href: jobPage(job.dead_letter_of ?? name, job.retry_of), 'aria-label': `retries ${job.retry_of}`, title: `retries ${job.retry_of}` }, 'a retry'),
          ' ',
          job.retry_at &&
            h('a', { href: jobPage(name, job.retry_at), 'aria-label': `retried by ${job.retry_at}`, title: `retried by ${job.retry_at}` }, 'retried'),
        ],
      },
    ],
  });
}
