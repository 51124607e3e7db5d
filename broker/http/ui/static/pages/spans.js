/** Fields for numbers, and for spans of time, which people write as 1h30m. */

import { h } from '../dom.js';
import { secondsOf, span, spanText } from '../format.js';
import { field } from '../parts.js';
import { description } from '../spec.js';

const SPAN = ' *(\\d+ *(w|d|h|m|min|s|sec)? *|(\\d+ *(w|d|h|m|min|s|sec) *)+)';
/** Those that the API has in seconds. */
const SPANS = ['delay', 'timeout', 'retries_delay', 'start_within', 'end_within', 'every', 'offset', 'jitter', 'catch_up'];

/** What both forms say of spans. */
export const spanNote = () => h('p.hint.whole', 'Times such as a timeout are written 90s, 5m, 1h30m or 2d; a number alone is seconds.');

/** A field for a span of time. @param {string} name @param {number} [value] @param {string} [hint] */
export const spanField = (label, name, value, hint, placeholder = 'none') =>
  field(label, h('input', { name, value: spanText(value), placeholder, pattern: SPAN, title: 'Such as 90s, 5m, 1h30m or 2d', autocomplete: 'off', spellcheck: 'false' }), hint);

/** A number or a span of a form, as the API has it. @param {string} key @param {string} text */
export const numberOf = (key, text) => (SPANS.includes(key) ? secondsOf(text) : Number(text));

/** A field for a number or a span, with its bounds. @param {string} key @param {string} label @param {any} bounds @param {number} [value] */
export function numberField(key, label, bounds, value) {
  const placeholder = /within$|^(every|offset|max_fires)$/.test(key) ? 'none' : 'default';
  if (SPANS.includes(key)) {
    const { description: text = '', minimum, maximum } = bounds ?? {};
    const words = text.replaceAll('`', '').replace(/,( in)? s\b/, '').replace(/(?<=Default: )\d+/, (s) => span(Number(s)));
    return spanField(label, key, value, `${words} ${span(minimum)} ${maximum ? `to ${span(maximum)}` : 'or more'}.`, placeholder);
  }
  return field(label, h('input', { name: key, type: 'number', min: bounds?.minimum, max: bounds?.maximum, value: value ?? '', placeholder }), description(bounds ?? {}));
}
