/** The parts of the pages that need no document, run by node --test. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

globalThis.document = { baseURI: 'http://broker.test/titan/ui/' };
globalThis.Node = class {};
const from = (name) => import(`../../broker/http/ui/static/${name}`);
const format = await from('format.js');
const { parts, noStyle, overwritten } = await from('ansi.js');
const { Source, parseEvent } = await from('live.js');
const { query, root, address, session, may } = await from('api.js');
const { examples, sample, range } = await from('spec.js');
const { niceTop, points } = await from('chart.js');

test('numbers are exact below 10,000 and short above', () => {
  assert.deepEqual([0, 999, 9999, 10000, 48113, 999960, 1234567].map(format.short), ['0', '999', '9,999', '10.0k', '48.1k', '1.0M', '1.2M']);
  assert.equal(format.exact(1234567), '1,234,567');
});

test('durations have at most two units', () => {
  assert.deepEqual([0, 0.004, 0.12, 9.9, 12, 59.6, 250, 3600, 11100, 200000, null].map(format.span), ['0 s', '4 ms', '0.12 s', '9.9 s', '12 s', '1 m', '4 m 10 s', '1 h', '3 h 5 m', '2 d 7 h', '–']);
});

test('sizes and shares', () => {
  assert.deepEqual([0, 999, 1024, 85000000, null].map(format.bytes), ['0 B', '999 B', '1.0 KB', '81 MB', '–']);
  assert.deepEqual([[0, 5], [1, 3000], [1, 250], [1, 2]].map(([a, b]) => format.percent(a, b)), ['0 %', '<0.1 %', '0.4 %', '50 %']);
});

test('rates are written as on the command line', () => {
  const hour = { jobs: 5000, per: 3600, burst: 50 };
  assert.deepEqual([6, hour, { jobs: 4, per: 90, burst: 4 }, undefined].map(format.rateText), ['6', '5000/h:50', '4/90s', '']);
  assert.deepEqual(['6', '5000/h:50', '4/90s', '5000 an hour'].map(format.rateOf), [6, hour, { jobs: 4, per: 90 }, '5000 an hour']);
});

test('spans are written as on the command line', () => {
  assert.deepEqual([5400, 300, 90, 172861, 0, undefined].map(format.spanText), ['1h30m', '5m', '1m30s', '2d1m1s', '0', '']);
  assert.deepEqual(['1h30m', ' 1 H 30 min ', '90', '90s', '2w', '0'].map(format.secondsOf), [5400, 5400, 90, 90, 1209600, 0]);
  assert.deepEqual(['soon', '5x', '1h30', '1.5h', ''].map(format.secondsOf), ['soon', '5x', '1h30', '1.5h', '']);
});

test('a moment names its zone', () => {
  assert.equal(format.moment('2026-07-01T14:02:11.123Z', true), '2026-07-01 14:02:11.123 UTC');
  assert.match(format.moment('2026-07-01T14:02:11.123Z', false), /^2026-07-0[12] \d\d:\d\d:11\.123 [+−]\d\d:\d\d$/);
  assert.equal(format.moment('not a time', true), 'not a time');
});

test('a time of another zone has its offset', () => {
  assert.equal(format.zoned('2027-03-28T03:00:00.000+02:00'), '2027-03-28 03:00:00 +02:00');
  assert.equal(format.zoned('2027-03-28T01:00:00Z'), '2027-03-28 01:00:00 UTC');
  assert.equal(format.zoned('soon'), 'soon');
});

test('a text in a shell stays one word', () => {
  assert.equal(format.quoted("it's"), "'it'\\''s'");
});

test('colours of a terminal become classes, other escapes go', () => {
  const style = noStyle();
  assert.deepEqual(parts('a\u001b[31;1mb\u001b[0mc\u001b[2K\u001b]0;title\u0007d', style), [{ text: 'a', kind: '' }, { text: 'b', kind: 'c1 bold' }, { text: 'c', kind: '' }, { text: 'd', kind: '' }]);
  parts('\u001b[32m', style);
  assert.deepEqual(parts('next line', style), [{ text: 'next line', kind: 'c2' }]);
  assert.deepEqual(parts('\u001b[38;5;196mx', noStyle()), [{ text: 'x', kind: '' }]);
});

test('a line that goes back to its start shows its end', () => {
  assert.deepEqual(['10 %\r20 %\r', 'plain', 'dos\r'].map(overwritten), ['20 %', 'plain', 'dos']);
});

test('an event of a stream', () => {
  assert.deepEqual(parseEvent('id: 7\nevent: end\ndata: {"a":\ndata: 1}'), { type: 'end', data: '{"a":\n1}', id: '7' });
  assert.equal(parseEvent(': still there'), null);
});

test('addresses stand below the base path', () => {
  assert.equal(root.href, 'http://broker.test/titan/');
  assert.equal(address('v1/groups').href, 'http://broker.test/titan/v1/groups');
  assert.equal(query({ a: '', b: ['x', 'y'], c: 0, d: undefined }), '?b=x&b=y&c=0');
});

test('an action is offered only where its scope and group allow it', () => {
  Object.assign(session, { scopes: ['read', 'produce'], groups: ['mail-*'], ui: 'full' });
  assert.deepEqual([may('produce', 'mail-eu'), may('produce', 'other'), may('admin'), may('read')], [true, false, false, true]);
  session.ui = 'read';
  assert.deepEqual([may('produce', 'mail-eu'), may('read')], [false, true]);
});

test('examples of a call say the same in three languages', () => {
  const spec = { components: { schemas: { Body: { type: 'object', properties: { jobs: { type: 'array', items: { type: 'object', properties: { image: { anyOf: [{ type: 'string' }, { type: 'null' }] } } } } }, required: ['jobs'] } } }, paths: { '/v1/groups/{group_name}/jobs': { post: { requestBody: { content: { 'application/json': { schema: { $ref: '#/components/schemas/Body' } } } } } } } };
  const { curl, Python, JavaScript } = examples(spec, 'post', '/v1/groups/{group_name}/jobs', 'http://b');
  assert.equal(curl, `curl -s -X POST 'http://b/v1/groups/mail/jobs' -H 'Content-Type: application/json' -d '{"jobs":[{"image":"hello"}]}'`);
  assert.match(Python, /Request\("http:\/\/b\/v1\/groups\/mail\/jobs", method="POST", data="\{\\"jobs\\"/);
  assert.match(JavaScript, /method: 'POST'/);
  assert.deepEqual(sample(spec, { type: 'integer', minimum: 1 }), 1);
  assert.equal(range({ minimum: 0, maximum: 2 }), '0 to 2.');
});

test('a chart ends at a round number', () => {
  assert.deepEqual([0, 3, 12, 50000, 51000].map(niceTop), [1, 5, 20, 50000, 100000]);
  assert.equal(points([0, 5, 10], 10, 100), '0.5,100.00 1.5,50.00 2.5,0.00');
});

test('an answer that was asked for before a view spoke does not replace what it said', async () => {
  let resolve;
  const answered = new Promise((done) => {
    resolve = done;
  });
  globalThis.fetch = () => answered;
  const source = new Source({ url: 'v1/bulk/1', live: 'bulk:1' }, () => {});
  const reading = source.reload();
  source.hear({ type: 'snapshot', data: '{"state":"done"}' });
  resolve(new Response('{"state":"running"}', { headers: { 'Content-Type': 'application/json' } }));
  await reading;
  assert.deepEqual(source.data, { state: 'done' });
  globalThis.fetch = async () => new Response('{"state":"done","n":2}', { headers: { 'Content-Type': 'application/json' } });
  await source.reload();
  assert.deepEqual(source.data, { state: 'done', n: 2 });
});
