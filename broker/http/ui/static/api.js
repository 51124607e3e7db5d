/** The broker's API, called as any other client calls it. */

const base = new URL(document.baseURI);
export const root = new URL(base.pathname.replace(/ui\/$/, ''), base);

/** @typedef {{name?: string, scopes: string[], groups?: string[], csrf?: string, ui?: string, is_open?: boolean}} Session */
/** @type {Session} */
export const session = { scopes: [] };

/** The address of a path below the broker's root. @param {string} path */
export const address = (path) => new URL(path, root);

/** @param {string} group */
export const groupApi = (group) => `v1/groups/${encodeURIComponent(group)}`;
/** @param {string} group @param {string} id */
export const jobApi = (group, id) => `${groupApi(group)}/jobs/${encodeURIComponent(id)}`;
/** @param {string} group @param {string} id */
export const batchApi = (group, id) => `${groupApi(group)}/batches/${encodeURIComponent(id)}`;

/** @param {string} group @param {string} name */
export const scheduleApi = (group, name) => `${groupApi(group)}/schedules/${encodeURIComponent(name)}`;

/** How far the broker's clock is before ours, in ms. */
let aheadMs = 0;
/** Now by the broker's clock, in ms. */
export const now = () => Date.now() + aheadMs;

/** A call that the broker refused, or that did not reach it (status 0). */
export class Refusal extends Error {
  /** @param {number} status @param {string} code @param {string} message @param {number} [retryAfter] */
  constructor(status, code, message, fields, retryAfter = 0) {
    super(message);
    Object.assign(this, { status, code, fields, retryAfter });
  }
}

/** @param {Response} response */
async function refusal(response) {
  const text = await response.text().catch(() => '');
  let error = { code: `http_${response.status}`, message: response.statusText || 'The broker refused this.', fields: undefined };
  try {
    error = { ...error, ...JSON.parse(text).error };
  } catch {
    /* a proxy's page, not the broker's answer */
  }
  const after = Number(response.headers.get('Retry-After')) || 0;
  return new Refusal(response.status, error.code, error.message, error.fields, after);
}

/** @param {Response} response */
function noteClock(response) {
  const date = Date.parse(response.headers.get('Date') ?? '');
  if (Number.isFinite(date) && Math.abs(date + 500 - Date.now()) > 1500) aheadMs = date + 500 - Date.now();
  else if (Number.isFinite(date)) aheadMs = 0;
}

/**
 * The raw response of a call. Raises Refusal for 400 and above, and when nothing answers.
 * @param {string} method @param {string} path
 * @param {{json?: any, form?: Record<string, string>, headers?: Record<string, string>, signal?: AbortSignal}} [options]
 */
export async function send(method, path, options = {}) {
  const headers = { Accept: 'application/json', ...options.headers };
  let body;
  if (options.json !== undefined) {
    headers['Content-Type'] = 'application/json';
    body = JSON.stringify(options.json);
  } else if (options.form) {
    body = new URLSearchParams(options.form);
  }
  if (method !== 'GET' && session.csrf) headers['Titan-CSRF'] = session.csrf;
  let response;
  try {
    response = await fetch(address(path), { method, headers, body, signal: options.signal, credentials: 'same-origin', cache: 'no-store' });
  } catch (error) {
    if (options.signal?.aborted && options.signal.reason?.name !== 'TimeoutError') throw error;
    throw new Refusal(0, 'unreachable', 'The broker does not answer.');
  }
  noteClock(response);
  if (response.status >= 400) throw await refusal(response);
  return response;
}

/** @param {Response} response */
async function answer(response) {
  if (response.status === 204 || response.status === 304) return undefined;
  const type = response.headers.get('Content-Type') ?? '';
  return type.includes('json') ? response.json() : response.text();
}

/**
 * GET as data. With `etag` of an earlier answer, `data` is undefined if nothing changed.
 * @param {string} path @param {string} [etag]
 */
export async function get(path, etag) {
  const headers = etag ? { 'If-None-Match': etag } : undefined;
  const response = await send('GET', path, { headers, signal: AbortSignal.timeout(10000) });
  return { data: await answer(response), etag: response.headers.get('ETag') ?? '', status: response.status };
}

/** A call that changes something, with a JSON body. @param {string} method @param {string} path @param {Record<string, string>} [headers] */
export const change = async (method, path, json, headers) => answer(await send(method, path, { json, headers }));

/** Ask who is there. Raises Refusal 401 where a login is needed. */
export async function who() {
  const { data } = await get('ui/session');
  for (const key of Object.keys(session)) delete session[key];
  Object.assign(session, { scopes: [] }, data);
}

/**
 * Whether the page may offer an action that needs this scope.
 * @param {string} scope @param {string} [group]
 */
export function may(scope, group) {
  if (scope !== 'read' && session.ui === 'read') return false;
  if (!session.scopes.includes(scope) && !session.scopes.includes('admin')) return false;
  return group === undefined || reaches(group);
}

/** @param {string} group */
function reaches(group) {
  const patterns = session.groups ?? ['*'];
  return patterns.some((pattern) => new RegExp(`^${pattern.replaceAll('*', '.*')}$`).test(group));
}

/** Parameters as a query, without those that are empty. @param {Record<string, any>} values */
export function query(values) {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== undefined && each !== null && each !== '' && each !== false) params.append(key, String(each));
    }
  }
  const text = params.toString();
  return text && `?${text}`;
}

/** 16 random bytes in hex, for an Idempotency-Key. */
export function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
