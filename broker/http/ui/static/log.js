/** The log of a job: it follows while the job runs, goes on after a lost connection, and keeps 5,000 lines. */

import { Refusal, address, jobApi, send } from './api.js';
import { noStyle, overwritten, parts } from './ansi.js';
import { h } from './dom.js';
import { readEvents } from './live.js';

const MOST_LINES = 5000;
const TAIL = 1000;
const OLDER_BYTES = 64 * 1024;
const LONGEST = 5000;

/** One log view. It belongs to a job's page and lives as long as that. */
export class LogView {
  /** @param {string} group @param {string} id @param {boolean} isOver */
  constructor(group, id, isOver) {
    this.path = `${jobApi(group, id)}/log`;
    this.isOver = isOver;
    this.first = 0;
    this.at = -1;
    this.count = 0;
    this.style = noStyle();
    this.isSticky = true;
    this.isComplete = false;
    this.stopping = new AbortController();
    this.make();
  }

  make() {
    this.lines = h('div.log-lines', { tabindex: 0, role: 'log', 'aria-live': 'off', 'aria-label': 'Output of the job', onScroll: () => this.scrolled() });
    this.state = h('span.log-state', { role: 'status' }, '');
    this.follows = h('button.button.small', { 'aria-pressed': 'true', onClick: () => this.stick(!this.isSticky) }, 'Follow');
    this.follows.hidden = this.isOver;
    this.older = h('button.button.small', { hidden: true, onClick: () => this.loadOlder() }, 'Load older lines');
    const wrap = h(
      'button',
      {
        class: 'button small',
        'aria-pressed': 'true',
        onClick: () => wrap.setAttribute('aria-pressed', String(!this.lines.classList.toggle('no-wrap'))),
      },
      'Wrap',
    );
    const search = h('input', {
      type: 'search',
      placeholder: 'Find in the log',
      'aria-label': 'Find in the log',
      onInput: (event) => this.search(event.target.value),
    });
    const raw = h('a.button.small', { href: address(this.path).href, download: 'log.txt', target: '_self' }, 'Download');
    this.element = h(
      'div.log',
      { 'data-keep': this.path },
      h('div.log-bar', this.state, h('div.push.row', search, wrap, this.follows, raw)),
      this.older,
      this.lines,
    );
  }

  async start() {
    this.stopping.abort();
    if (this.isComplete) return;
    this.stopping = new AbortController();
    const { signal } = this.stopping;
    for (let tries = 0; !signal.aborted; tries += 1) {
      try {
        if (await this.read(signal)) {
          this.isComplete = true;
          return this.say('complete');
        }
        tries = 0;
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Refusal && error.status === 404) return this.say('This job has no output.');
        if (error instanceof Refusal && error.status > 0 && error.status < 500 && error.status !== 429) return this.say(error.message);
      }
      this.say('connecting again…');
      await new Promise((resolve) => setTimeout(resolve, Math.min(5000, 1000 * (tries + 1))));
    }
  }

  stop() {
    this.stopping.abort();
  }

  /** Follow until the end; true if that was reached. @param {AbortSignal} signal */
  async read(signal) {
    if (this.isOver && this.at < 0) return this.readOnce(signal);
    const from = this.at < 0 ? `tail=${TAIL}` : `start=${this.at}`;
    const response = await send('GET', `${this.path}?follow=1&${from}`, { headers: { Accept: 'text/event-stream' }, signal });
    this.began(response);
    this.say('following');
    let isEnd = false;
    await readEvents(response, (event) => {
      if (event.type === 'end') isEnd = true;
      else if (event.data) this.add(JSON.parse(event.data), Number(event.id));
    });
    return isEnd;
  }

  /** The log of a job that is over needs no stream. @param {AbortSignal} signal */
  async readOnce(signal) {
    const response = await send('GET', `${this.path}?tail=${TAIL}`, { headers: { Accept: 'text/plain' }, signal });
    const text = await response.text();
    this.began(response);
    this.add(text, this.first + new TextEncoder().encode(text).length);
    return true;
  }

  /** @param {Response} response */
  began(response) {
    const start = Number(response.headers.get('Titan-Log-Start') ?? 0);
    if (this.at < 0) this.first = start;
    this.older.hidden = this.first <= 0;
  }

  /** @param {string} text @param {number} at */
  add(text, at) {
    this.at = at;
    if (!text) return;
    const rows = ((this.rest ?? '') + text).split('\n');
    this.rest = rows.pop() ?? '';
    const open = this.lines.querySelector('.open-line');
    open?.remove();
    this.lines.append(...rows.slice(-MOST_LINES).map((row) => this.line(row, this.style)));
    if (this.rest) this.lines.append(this.line(this.rest, { ...this.style }, 'open-line'));
    this.count += rows.length;
    while (this.lines.childElementCount > MOST_LINES) this.lines.firstElementChild?.remove();
    if (this.isSticky) this.lines.scrollTop = this.lines.scrollHeight;
  }

  /** @param {string} text @param {import('./ansi.js').Style} style @param {string} [kind] */
  line(text, style, kind = '') {
    const shown = overwritten(text);
    const cut = shown.length > LONGEST ? `${shown.slice(0, LONGEST)}… (${shown.length} characters; download the log for all)` : shown;
    const found = parts(cut, style);
    return h('div', { class: `log-line ${kind}` }, found.length ? found.map((part) => h('bdi', { class: part.kind || null }, part.text)) : '\u200b');
  }

  /** Put the part before the first line there. */
  async loadOlder() {
    const start = Math.max(0, this.first - OLDER_BYTES);
    const stop = new AbortController();
    const response = await send('GET', `${this.path}?start=${start}`, { headers: { Accept: 'text/plain' }, signal: stop.signal });
    const reader = response.body.getReader();
    const bytes = new Uint8Array(this.first - start);
    for (let got = 0; got < bytes.length;) {
      const { done, value } = await reader.read();
      if (done) break;
      bytes.set(value.subarray(0, bytes.length - got), got);
      got += value.length;
    }
    stop.abort();
    const rows = new TextDecoder().decode(bytes).replace(/\n$/, '').split('\n');
    const skipped = start > 0 && rows.length > 1 ? new TextEncoder().encode(`${rows.shift()}\n`).length : 0;
    const height = this.lines.scrollHeight;
    this.lines.prepend(...rows.map((row) => this.line(row, noStyle())));
    this.lines.scrollTop += this.lines.scrollHeight - height;
    this.first = start + skipped;
    this.older.hidden = this.first <= 0;
    this.stick(false);
  }

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.lines;
    const isAtEnd = scrollHeight - scrollTop - clientHeight < 30;
    if (isAtEnd !== this.isSticky) this.stick(isAtEnd);
  }

  /** @param {boolean} isOn */
  stick(isOn) {
    this.isSticky = isOn;
    this.follows.setAttribute('aria-pressed', String(isOn));
    if (isOn) this.lines.scrollTop = this.lines.scrollHeight;
  }

  /** Mark the lines with a text, and show the last of them. @param {string} text */
  search(text) {
    const wanted = text.toLowerCase();
    let last = null;
    for (const line of this.lines.children) {
      const isHit = wanted !== '' && (line.textContent ?? '').toLowerCase().includes(wanted);
      line.classList.toggle('hit', isHit);
      if (isHit) last = line;
    }
    if (last) this.stick(false);
    last?.scrollIntoView({ block: 'nearest' });
    if (wanted) this.say(`${this.lines.querySelectorAll('.hit').length} lines have it`);
  }

  /** @param {string} text */
  say(text) {
    this.state.textContent = text;
    this.state.classList.toggle('is-following', text === 'following');
    this.element.classList.toggle('is-empty', text.startsWith('This job'));
  }
}
