/** What a person can do to a batch. Each asks first. */

import { batchApi, change, newKey } from '../api.js';
import { ask } from '../dialog.js';
import { h } from '../dom.js';
import { counted } from '../format.js';
import { batchPage } from '../parts.js';

/** @typedef {'close' | 'cancel' | 'retry'} BatchAction */

/** @type {Record<BatchAction, {verb: string, done: string, text: (one: any) => string, fits: (one: any) => boolean, isDangerous?: boolean}>} */
export const BATCH_ACTIONS = {
  close: {
    verb: 'Close batch',
    done: 'The batch is closed.',
    text: () => 'No more jobs can be added, except by its running members. Its callbacks follow when all members have ended.',
    fits: (one) => one.state === 'open',
  },
  cancel: {
    verb: 'Cancel batch',
    done: 'Its unfinished members are cancelled.',
    text: ({ counts }) =>
      `It is closed, and ${counted(counts.total - counts.over, 'member')} that ${counts.total - counts.over === 1 ? 'has' : 'have'} not ended ${counts.total - counts.over === 1 ? 'is' : 'are'} cancelled, step by step. Of its callbacks only on_over follows.`,
    fits: (one) => !one.ended_at && one.stopped !== 'client_request' && (one.state === 'open' || one.state === 'running'),
    isDangerous: true,
  },
  retry: {
    verb: 'Retry failed',
    done: 'A new batch was made.',
    text: ({ counts }) =>
      `A new batch repeats the members that failed and were not retried yet, ${counts.failed === 1 ? 'one' : counts.failed} at most, with the same callbacks. This one stays as it is.`,
    fits: (one) => Boolean(one.ended_at) && one.counts.failed > 0 && !one.retry_at,
  },
};

/** @param {BatchAction} action */
export function askBatch(context, action, one) {
  const { verb, done, text, isDangerous } = BATCH_ACTIONS[action];
  const key = newKey();
  let made = null;
  ask({
    title: action === 'retry' ? 'Retry what failed?' : `${verb}?`,
    verb,
    isDangerous,
    text: [h('p', h('code', one.id), ` of ${one.group_name}, ${one.state}.`), h('p', text(one))],
    act: async () => {
      made = await change('POST', `${batchApi(one.group_name, one.id)}/${action}`, undefined, action === 'retry' ? { 'Idempotency-Key': key } : undefined);
      return done;
    },
    after: () => (action === 'retry' && made?.batch ? context.go(batchPage(one.group_name, made.batch.id)) : context.reload()),
  });
}
