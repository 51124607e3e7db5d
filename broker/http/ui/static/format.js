/** Numbers, times and sizes as people read them. Nothing here touches the document. */

const SHORT = [
  [1e9, 'G'],
  [1e6, 'M'],
  [1e3, 'k'],
];

/** 12345 → "12,345". @param {number} n */
export const exact = (n) => String(Math.round(n)).replace(/\B(?=(\d{3})+(?!\d))/g, ',');

/** 12345 → "12.3k"; below 10,000 it is exact. @param {number} n */
export function short(n) {
  if (!Number.isFinite(n)) return '–';
  if (Math.abs(n) < 10000) return exact(n);
  for (const [size, letter] of SHORT) {
    const part = n / size;
    if (Math.abs(part) >= 0.9995) return (Math.abs(part) < 99.95 ? part.toFixed(1) : part.toFixed(0)) + letter;
  }
  return exact(n);
}

/** A rate a second. @param {number | undefined} n */
export function rate(n) {
  if (n === undefined || n === null) return '–';
  if (n === 0) return '0';
  if (n < 0.01) return '<0.01';
  return n < 1 ? n.toFixed(2) : n < 10 ? n.toFixed(1) : short(n);
}

/** @param {number} part @param {number} whole */
export function percent(part, whole) {
  if (!whole || !part) return '0 %';
  const value = (100 * part) / whole;
  return (value < 0.1 ? '<0.1' : value < 10 ? value.toFixed(1) : value.toFixed(0)) + ' %';
}

/** A duration in seconds: "0.12 s", "12 s", "4 m 10 s", "3 h 5 m", "2 d 4 h". @param {number | undefined | null} s */
export function span(s) {
  if (s === undefined || s === null || !Number.isFinite(s)) return '–';
  const n = Math.max(0, s);
  if (n > 0 && n < 0.0995) return `${Math.max(1, Math.round(n * 1000))} ms`;
  if (n < 9.95) return `${Number(n.toFixed(n < 1 ? 2 : 1))} s`;
  if (n < 59.5) return `${Math.round(n)} s`;
  const whole = Math.round(n);
  if (whole < 3600) return two(whole, 60, 'm', 1, 's');
  if (whole < 86400) return two(whole, 3600, 'h', 60, 'm');
  return two(whole, 86400, 'd', 3600, 'h');
}

/** @param {number} n @param {number} big @param {string} bigName @param {number} small @param {string} smallName */
function two(n, big, bigName, small, smallName) {
  const rest = Math.floor((n % big) / small);
  return `${Math.floor(n / big)} ${bigName}` + (rest ? ` ${rest} ${smallName}` : '');
}

/** @param {number | undefined | null} n */
export function bytes(n) {
  if (n === undefined || n === null) return '–';
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  let at = 0;
  let value = n;
  while (value >= 1000 && at < units.length - 1) {
    value /= 1024;
    at += 1;
  }
  return `${at && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[at]}`;
}

/** @param {number} n @param {string} one @param {string} [many] */
export const counted = (n, one, many = `${one}s`) => `${exact(n)} ${n === 1 ? one : many}`;

/** "+05:30" of a date's zone. @param {Date} date */
export function offset(date) {
  const minutes = -date.getTimezoneOffset();
  const pad = (n) => String(Math.floor(Math.abs(n))).padStart(2, '0');
  return (minutes < 0 ? '−' : '+') + `${pad(minutes / 60)}:${pad(minutes % 60)}`;
}

/**
 * A moment with its zone: "2026-07-01 14:02:11.123 UTC" or "… +05:30".
 * @param {string | number} at @param {boolean} isUtc
 */
export function moment(at, isUtc) {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return String(at);
  const shifted = isUtc ? date : new Date(date.getTime() - date.getTimezoneOffset() * 60000);
  const text = shifted.toISOString().replace('T', ' ').replace('Z', '');
  return `${text} ${isUtc ? 'UTC' : offset(date)}`;
}

/** A time of another zone: "2027-03-28 03:00:00 +02:00". @param {string} local RFC 3339 */
export const zoned = (local) => local.replace(/^(.{10})T(.{8})(?:\.\d+)?(Z|[+-]\d\d:\d\d)$/, (_, day, time, offset) => `${day} ${time} ${offset === 'Z' ? 'UTC' : offset}`);

/** The time of day, with the day if it is not the day of `now`. @param {string | number} at @param {boolean} isUtc @param {number} now */
export function clock(at, isUtc, now) {
  const text = moment(at, isUtc);
  const today = moment(now, isUtc).slice(0, 10);
  if (text.slice(0, 10) === today) return text.slice(11, 19);
  return text.slice(0, 4) === today.slice(0, 4) ? text.slice(5, 16) : text.slice(0, 16);
}

/** Milliseconds since 1970 of a time of the API. @param {string | number} at */
export const ms = (at) => (typeof at === 'number' ? (at < 1e11 ? at * 1000 : at) : Date.parse(at));

/** A text for a shell, in quotes. @param {string} text */
export const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** The first line of a text, cut. @param {string} text @param {number} [most] */
export function line(text, most = 160) {
  const end = text.search(/[\r\n]/);
  const first = end < 0 ? text : text.slice(0, end);
  return first.length > most || end >= 0 ? `${first.slice(0, most)}…` : first;
}

/** Whether a text holds a value that the broker masked. @param {string} text */
export const isMasked = (text) => text.includes('••••');

const PER = { d: 86400, h: 3600, m: 60, s: 1 };

/** A rate_limit as people write it: `6`, or `5000/h:50`, which is 5,000 an hour, 50 at once. */
export function rateText(rate) {
  if (!rate?.per) return String(rate ?? '');
  const unit = Object.keys(PER).find((key) => rate.per % PER[key] === 0) ?? 's';
  const n = rate.per / PER[unit];
  return `${rate.jobs}/${n === 1 ? '' : n}${unit}${rate.burst === rate.jobs ? '' : `:${rate.burst}`}`;
}

/** The rate_limit in such a text; another text stays, and is refused. @param {string} text */
export function rateOf(text) {
  const found = /^(\d+)(?:\/(\d*)([smhd])(?::(\d+))?)?$/.exec(text);
  if (!found) return text;
  const [, jobs, n, unit, burst] = found;
  if (!unit) return Number(jobs);
  return { jobs: Number(jobs), per: Number(n || 1) * PER[unit], ...(burst && { burst: Number(burst) }) };
}

/** Seconds as people write them: 5400 → "1h30m". @param {number | undefined} s */
export function spanText(s) {
  if (!s) return String(s ?? '');
  let rest = s;
  const parts = ['d', 'h', 'm', 's'].map((unit) => {
    const n = Math.floor(rest / PER[unit]);
    rest -= n * PER[unit];
    return n ? `${n}${unit}` : '';
  });
  return parts.join('');
}

/** The seconds in such a text, as on the command line; another text stays, and is refused. @param {string} text */
export function secondsOf(text) {
  const given = text.trim().toLowerCase();
  if (/^\d+$/.test(given)) return Number(given);
  const parts = [...given.matchAll(/(\d+)\s*(w|d|h|m(?:in)?|s(?:ec)?)\s*/g)];
  if (!given || parts.map(([whole]) => whole).join('') !== given) return text;
  return parts.reduce((sum, [, n, unit]) => sum + Number(n) * { ...PER, w: 604800 }[unit[0]], 0);
}
