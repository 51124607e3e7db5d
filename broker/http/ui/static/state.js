/** What one browser remembers, and the zone and theme that follow from it. */

const KEYS = { theme: 'titan.theme', zone: 'titan.zone', keys: 'titan.keys' };

/** @param {string} key */
function read(key) {
  try {
    return localStorage.getItem(key) ?? '';
  } catch {
    return ''; // storage is off: this page alone remembers
  }
}

/** @param {string} key @param {string} value */
function write(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    /* as above */
  }
}

export const choices = {
  theme: read(KEYS.theme) || 'system',
  isUtc: read(KEYS.zone) === 'utc',
  hasKeys: read(KEYS.keys) !== 'off',
};

export function applyTheme() {
  const root = document.documentElement;
  if (choices.theme === 'system') root.removeAttribute('data-theme');
  else root.setAttribute('data-theme', choices.theme);
}

/** system → light → dark → system */
export function nextTheme() {
  const all = ['system', 'light', 'dark'];
  choices.theme = all[(all.indexOf(choices.theme) + 1) % all.length];
  write(KEYS.theme, choices.theme);
  applyTheme();
}

export function switchZone() {
  choices.isUtc = !choices.isUtc;
  write(KEYS.zone, choices.isUtc ? 'utc' : 'local');
}

export function switchKeys() {
  choices.hasKeys = !choices.hasKeys;
  write(KEYS.keys, choices.hasKeys ? 'on' : 'off');
}
