/** The application: it finds the page of an address, keeps its data fresh and draws it. */

import { Refusal, address, root, session, who } from './api.js';
import { h, morph, settle } from './dom.js';
import { listen } from './keys.js';
import { Source, pause } from './live.js';
import { problemBanner, shell } from './shell.js';
import { applyTheme } from './state.js';
import { pages } from './pages/index.js';

/**
 * What a page gets. `state` lives as long as the path stays the same.
 * @typedef {{path: string, args: string[], query: URLSearchParams, state: Record<string, any>, update: () => void,
 *   go: (path: string, replaces?: boolean) => void, href: (changes: Record<string, any>) => string, reload: (name?: string) => void, source: (name: string) => Source | undefined}} Context
 * @typedef {{title: string, needs?: string, sources?: Record<string, any>, view: (data: Record<string, any>) => any, say?: (data: Record<string, any>) => string,
 *   named?: (data: Record<string, any>) => string, keys?: Record<string, () => void>, missing?: () => any, stop?: () => void, seen?: (isSeen: boolean) => void}} Page
 */

const app = {
  page: undefined,
  context: undefined,
  sources: {},
  isUnknown: false,
  isDrawing: false,
  saidAt: 0,
};

const isHidden = () => document.visibilityState === 'hidden';

/** The part of an address below `ui/`. @param {URL} url */
const inside = (url) =>
  url.origin === root.origin && url.pathname.startsWith(`${root.pathname}ui`) ? url.pathname.slice(root.pathname.length + 2).replace(/^\/|\/$/g, '') : null;

/** @param {string} path @param {boolean} [replaces] */
function go(path, replaces = false) {
  const url = address(path);
  if (url.href === location.href) return reload();
  history[replaces ? 'replaceState' : 'pushState'](null, '', url);
  open();
}

/** @param {string} [name] */
function reload(name) {
  for (const [key, source] of Object.entries(app.sources)) if (!name || key === name) source.reload();
}

/** @param {string} path @param {boolean} isSame @returns {Context} */
function makeContext(path, isSame) {
  const query = new URLSearchParams(location.search);
  const href = (changes) => {
    const params = new URLSearchParams(location.search);
    for (const [key, value] of Object.entries(changes))
      value === '' || value === null || value === undefined || value === false ? params.delete(key) : params.set(key, value);
    const text = params.toString();
    return location.pathname.slice(root.pathname.length) + (text && `?${text}`);
  };
  const state = isSame && app.context ? app.context.state : {};
  return { path, args: [], query, state, update: draw, go, href, reload, source: (name) => app.sources[name] };
}

/** Open the page of the address. */
function open() {
  const path = inside(new URL(location.href)) ?? '';
  const isSame = app.context?.path === path;
  const context = makeContext(path, isSame);
  const found = pages.find(({ pattern }) => pattern.test(path));
  const match = found?.pattern.exec(path);
  context.args = (match ?? []).slice(1).map(decodeURIComponent);
  if (!isSame) app.page?.stop?.();
  app.context = context;
  app.page = (found ?? pages[pages.length - 1]).page(context);
  setSources(isSame);
  document.title = `${app.page.title} · Titan`;
  draw();
  if (!isSame) {
    scrollTo(0, 0);
    requestAnimationFrame(() => document.querySelector('main h1')?.focus({ preventScroll: true }));
  }
}

/** @param {boolean} isSame */
function setSources(isSame) {
  const old = app.sources;
  app.sources = {};
  for (const [name, spec] of Object.entries(app.page?.sources ?? {})) {
    const before = isSame ? old[name] : undefined;
    if (before && before.spec.url === spec.url && before.spec.live === spec.live) {
      app.sources[name] = before;
      delete old[name];
      continue;
    }
    const source = new Source(spec, () => changed(name));
    if (before) Object.assign(source, { data: before.data, isOld: true, at: before.at });
    app.sources[name] = source;
    if (!isHidden()) source.start();
  }
  for (const source of Object.values(old)) source.stop();
}

/** @param {string} name */
function changed(name) {
  const source = app.sources[name];
  if (source?.error?.status === 401) return login();
  if (app.isUnknown && !source.error) know();
  for (const each of Object.values(app.sources)) {
    const follows = each.spec.follows;
    if (follows === name && !source.error && !each.isLoading && Date.now() - each.at > 2500) each.reload();
  }
  draw();
}

function login() {
  const path = inside(new URL(location.href));
  if (path !== 'login') go(`ui/login?to=${encodeURIComponent(location.pathname.slice(root.pathname.length) + location.search)}`, true);
}

/** Draw soon, once, however often it is asked for. */
function draw() {
  if (app.isDrawing) return;
  app.isDrawing = true;
  queueMicrotask(() => {
    app.isDrawing = false;
    const next = shell({ path: app.context?.path ?? '', main: drawMain(), sources: app.sources, actions: { togglePause, redraw: draw, go } });
    const old = document.getElementById('app');
    if (old) morph(old, next);
    else
      document.body.replaceChildren(
        settle(next),
        h('div', { id: 'toasts', role: 'status', 'aria-live': 'polite' }),
        h('div', { id: 'said', class: 'vh', role: 'status', 'aria-live': 'polite' }),
      );
    const main = app.sources.main?.data;
    if (main && app.page?.named) document.title = `${app.page.named({ main })} · Titan`;
    say();
  });
}

/** The page itself, or what stands in its place. */
function drawMain() {
  const { page, sources } = app;
  if (!page) return null;
  const first = Object.values(sources)[0];
  const error = first?.error;
  const data = Object.fromEntries(Object.entries(sources).map(([name, source]) => [name, source.data]));
  const isWaiting = Object.values(sources).some((source) => source.isLoading && (source.isOld || source.data === undefined));
  const missing = error?.status === 404 && page.missing?.();
  const body = missing || (first && first.data === undefined && error ? h('h1', page.title) : page.view(data));
  const isStale = Boolean(error) && !missing;
  return [
    isWaiting && h('div.loading', { key: 'loading', role: 'progressbar', 'aria-label': 'Loading' }),
    isStale && problemBanner(error, first, page.needs),
    h('div', { key: app.context?.path, class: isStale ? 'page stale' : 'page' }, body),
  ];
}

/** Tell a screen reader what changed, at most each 10 s. */
function say() {
  const first = Object.values(app.sources)[0];
  const place = document.getElementById('said');
  if (!place || !first?.data || Date.now() - app.saidAt < 10000) return;
  const text = app.page?.say?.({ main: first.data }) ?? '';
  app.saidAt = Date.now();
  if (place.textContent !== text) place.textContent = text;
}

function togglePause() {
  pause.isOn = !pause.isOn;
  for (const source of Object.values(app.sources)) pause.isOn ? source.stop() : source.start();
  draw();
}

/** @param {MouseEvent} event */
function follow(event) {
  const target = event.target.closest?.('a[href]');
  if (!(target instanceof HTMLAnchorElement) || target.target || target.hasAttribute('download')) return;
  if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (inside(new URL(target.href)) === null) return;
  event.preventDefault();
  go(target.href);
}

function seen() {
  for (const source of Object.values(app.sources)) isHidden() || pause.isOn ? source.stop() : source.start();
  app.page?.seen?.(!isHidden());
}

async function start() {
  applyTheme();
  document.addEventListener('click', follow);
  document.addEventListener('visibilitychange', seen);
  addEventListener('popstate', open);
  setInterval(() => !isHidden() && draw(), 1000);
  listen({ go, togglePause, page: () => app.page?.keys });
  await know();
  open();
}

/** Ask who is there; again with the next answer, if the broker could not say it. */
async function know() {
  app.isUnknown = false;
  try {
    await who();
    if (app.page) draw();
  } catch (error) {
    if (error instanceof Refusal && error.status === 401) return login();
    app.isUnknown = true;
    Object.assign(session, { scopes: ['read'] });
  }
}

start();
