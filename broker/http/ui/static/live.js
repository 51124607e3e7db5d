/** Data that stays fresh: by one stream of the broker while the page is seen, by a poll where no stream comes. */

import { Refusal, get, send } from './api.js';

const OPEN_MS = 3000;
const POLL_MS = 5000;
const AGAIN_MS = 2000;
const STREAM_AGAIN_MS = 30000;
/** The statuses of refusals that a stream reports by their codes; any other is a 503. */
const STATUSES = { unauthorized: 401, forbidden: 403, not_found: 404, too_large: 413 };

/**
 * Read server-sent events until the stream ends.
 * @param {Response} response @param {(event: {type: string, data: string, id: string}) => void} onEvent
 */
export async function readEvents(response, onEvent) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += decoder.decode(value, { stream: true });
    const parts = rest.split(/\r?\n\r?\n/);
    rest = parts.pop();
    for (const part of parts) {
      const event = parseEvent(part);
      if (event) onEvent(event);
    }
  }
}

/** @param {string} text */
export function parseEvent(text) {
  const event = { type: 'message', data: '', id: '' };
  const data = [];
  for (const row of text.split(/\r?\n/)) {
    const at = row.indexOf(':');
    if (at === 0) continue;
    const value = row.slice(at + 1).replace(/^ /, '');
    const field = row.slice(0, at);
    if (field === 'data') data.push(value);
    else if (field === 'event') event.type = value;
    else if (field === 'id') event.id = value;
  }
  event.data = data.join('\n');
  return data.length || event.type !== 'message' ? event : null;
}

/** Whether a person has paused all that is live. */
export const pause = { isOn: false };

/**
 * One answer of the API, kept fresh. `live` is the view of `v1/live` with the same answer, `every` the seconds between
 * polls without one; with neither it is read once.
 * @typedef {{url: string, live?: string, every?: number, fallback?: any}} Spec
 */
export class Source {
  /** @param {Spec} spec @param {() => void} onChange */
  constructor(spec, onChange) {
    this.spec = spec;
    this.onChange = onChange;
    this.data = undefined;
    this.error = undefined;
    this.at = 0;
    this.isOld = false;
    this.isLive = false;
    this.isLoading = false;
    this.etag = '';
    this.streamAfter = 0;
    this.heard = 0;
    this.stopping = new AbortController();
  }

  start() {
    this.stop();
    this.stopping = new AbortController();
    const { signal } = this.stopping;
    const { live, every } = this.spec;
    if (live && !pause.isOn && Date.now() >= this.streamAfter) this.stream(signal);
    else if (!every && !live && this.data !== undefined && !this.isOld && !this.error) return;
    else this.poll(signal);
  }

  stop() {
    this.stopping.abort();
    this.isLive = false;
  }

  /** @param {number} after @param {AbortSignal} signal */
  later(after, signal) {
    const timer = setTimeout(() => !signal.aborted && !pause.isOn && this.start(), after);
    signal.addEventListener('abort', () => clearTimeout(timer));
  }

  /** Read it now. */
  async reload() {
    const { signal } = this.stopping;
    const { heard } = this;
    const isWanted = () => !signal.aborted && this.heard === heard; // what a stream says meanwhile is newer, and comes once
    this.isLoading = true;
    const slow = setTimeout(() => isWanted() && this.fail(new Refusal(0, 'slow', 'The broker has not answered for 3 s.')), OPEN_MS);
    try {
      const { data, etag } = await get(this.spec.url, this.data !== undefined && !this.isOld ? this.etag : undefined);
      if (isWanted()) this.take(data, etag);
    } catch (error) {
      if (isWanted()) this.fail(error);
    } finally {
      clearTimeout(slow);
      this.isLoading = false;
    }
  }

  /** @param {AbortSignal} signal */
  async poll(signal) {
    await this.reload();
    if (signal.aborted) return;
    const { live, every } = this.spec;
    if (this.error) this.later(mayRecover(this.error) ? Math.max(AGAIN_MS, this.error.retryAfter * 1000) : STREAM_AGAIN_MS, signal);
    else if (live || every) this.later(every ? every * 1000 : POLL_MS, signal);
  }

  /** @param {AbortSignal} signal */
  async stream(signal) {
    const slow = new AbortController();
    const timer = setTimeout(() => slow.abort(), OPEN_MS);
    signal.addEventListener('abort', () => slow.abort());
    if (this.data === undefined || this.isOld) this.reload();
    try {
      const path = `v1/live?view=${encodeURIComponent(this.spec.live)}`;
      const response = await send('GET', path, { headers: { Accept: 'text/event-stream' }, signal: slow.signal });
      clearTimeout(timer);
      this.isLive = true;
      await readEvents(response, (event) => !signal.aborted && this.hear(event));
    } catch {
      if (!this.isLive) this.streamAfter = Date.now() + STREAM_AGAIN_MS;
    }
    clearTimeout(timer);
    if (signal.aborted) return;
    const wasLive = this.isLive;
    this.isLive = false;
    this.later(wasLive ? AGAIN_MS : 0, signal);
  }

  /** @param {{type: string, data: string}} event */
  hear({ type, data }) {
    const body = JSON.parse(data || '{}');
    this.heard += 1;
    if (type === 'problem') {
      this.fail(new Refusal(STATUSES[body.error.code] ?? 503, body.error.code, body.error.message, undefined, 1));
    } else {
      this.take(body, '');
    }
  }

  /** @param {string} etag */
  take(data, etag) {
    if (data !== undefined) this.data = data;
    this.etag = etag;
    this.error = undefined;
    this.isOld = false;
    this.at = Date.now();
    this.onChange();
  }

  /** @param {Refusal} error */
  fail(error) {
    if (this.spec.fallback !== undefined && [400, 403, 404].includes(error.status)) return this.take(this.spec.fallback, '');
    this.error = error;
    this.onChange();
  }
}

/** @param {Refusal} error */
const mayRecover = (error) => error.status === 0 || error.status >= 500 || error.status === 429;
