/** Search in the documentation, in the browser: the broker sends the text of all pages once. */

const MOST = 12;

/** @param {string} text */
export const wordsOf = (text) =>
  text
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word.length > 1 || /\d/.test(word));

/**
 * How well a part fits, 0 if a word is missing. A word in the heading counts most, then one in the title.
 * @param {{title: string, heading: string, text: string}} entry @param {string[]} words
 */
export function score(entry, words) {
  const heading = entry.heading.toLowerCase();
  const title = entry.title.toLowerCase();
  const text = entry.text.toLowerCase();
  let sum = 0;
  for (const word of words) {
    const found = 20 * heading.includes(word) + 4 * title.includes(word) + Math.min(text.split(word).length - 1, 5);
    if (!found) return 0;
    sum += found;
  }
  return sum + 40 * (heading === words.join(' ')) + 10 * heading.startsWith(words[0]);
}

export class Index {
  /** @param {string} url */
  constructor(url) {
    this.url = url;
    this.problem = '';
  }

  /** Get the texts, once. After a failure the next call tries again. */
  load() {
    this.entries ??= fetch(this.url)
      .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error(answer.statusText))))
      .then((entries) => {
        this.problem = '';
        return entries;
      })
      .catch(() => {
        this.entries = undefined;
        this.problem = 'The search has no answer from the broker.';
        return [];
      });
    return this.entries;
  }

  /** The parts that have all words, the best first. @param {string} text */
  async find(text) {
    const words = wordsOf(text);
    if (!words.length) return { words, entries: [] };
    const scored = (await this.load()).map((entry) => ({ entry, points: score(entry, words) })).filter(({ points }) => points);
    scored.sort((a, b) => b.points - a.points);
    return { words, entries: scored.slice(0, MOST).map(({ entry }) => entry) };
  }
}
