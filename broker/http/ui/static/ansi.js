/** Colours of a terminal as classes; every other escape is dropped. */

const ESCAPE = /\u001b(?:\[([0-9;:?<=>]*)[ -/]*([@-~])|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[PX^_][^\u001b]*(?:\u001b\\)?|[ -/]*[0-~])/g;

/** @typedef {{fg: string, bold: boolean, dim: boolean, under: boolean}} Style */

/** @returns {Style} */
export const noStyle = () => ({ fg: '', bold: false, dim: false, under: false });

/** @param {Style} style @param {string} codes */
function apply(style, codes) {
  const all = (codes || '0').split(/[;:]/).map(Number);
  for (let at = 0; at < all.length; at += 1) {
    const code = all[at];
    if (code === 0) Object.assign(style, noStyle());
    else if (code === 1) style.bold = true;
    else if (code === 2) style.dim = true;
    else if (code === 4) style.under = true;
    else if (code === 22) Object.assign(style, { bold: false, dim: false });
    else if (code === 24) style.under = false;
    else if (code >= 30 && code <= 37) style.fg = `c${code - 30}`;
    else if (code >= 90 && code <= 97) style.fg = `c${code - 90}`;
    else if (code === 39) style.fg = '';
    else if (code === 38 || code === 48) at += all[at + 1] === 5 ? 2 : 4;
  }
}

/** @param {Style} style */
const classOf = ({ fg, bold, dim, under }) => [fg, bold && 'bold', dim && 'dim', under && 'under'].filter(Boolean).join(' ');

/**
 * The parts of a line, each with its classes. `style` goes on from line to line.
 * @param {string} text @param {Style} style @returns {{text: string, kind: string}[]}
 */
export function parts(text, style) {
  const found = [];
  let from = 0;
  for (const match of text.matchAll(ESCAPE)) {
    if (match.index > from) found.push({ text: text.slice(from, match.index), kind: classOf(style) });
    if (match[2] === 'm') apply(style, match[1]);
    from = match.index + match[0].length;
  }
  if (from < text.length) found.push({ text: text.slice(from), kind: classOf(style) });
  return found;
}

/** What a terminal shows of a line that goes back to its start. @param {string} line */
export function overwritten(line) {
  const text = line.endsWith('\r') ? line.slice(0, -1) : line;
  const at = text.lastIndexOf('\r');
  return at < 0 ? text : text.slice(at + 1);
}
