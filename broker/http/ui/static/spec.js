/** What openapi.json says of fields and calls. */

import { exact, quoted } from './format.js';

/** A schema without its references and its null. */
export function plain(spec, schema) {
  if (!schema) return {};
  if (schema.$ref) return plain(spec, spec.components.schemas[schema.$ref.split('/').pop()]);
  const options = schema.anyOf ?? schema.oneOf;
  if (!options) return schema;
  const real = options.filter((each) => each.type !== 'null');
  return {
    ...plain(spec, real[0]),
    ...(schema.description ? { description: schema.description } : {}),
    ...(schema.default !== undefined ? { default: schema.default } : {}),
  };
}

/** The fields of the first of these schemas that there is. @param {...string} names @returns {Record<string, any>} */
export function fieldsOf(spec, ...names) {
  const name = names.find((each) => spec.components.schemas[each]);
  const properties = name ? spec.components.schemas[name].properties : {};
  return Object.fromEntries(Object.entries(properties).map(([key, schema]) => [key, plain(spec, schema)]));
}

/** "The most jobs that run at once. 1 to 1000000." */
export function description(schema) {
  return [schema.description?.replaceAll('`', ''), range(schema)].filter(Boolean).join(' ');
}

export function range({ minimum, maximum, maxLength, minLength, minItems, maxItems }) {
  if (minimum !== undefined && maximum !== undefined) return `${exact(minimum)} to ${exact(maximum)}.`;
  if (minItems !== undefined || maxItems !== undefined) return `${minItems ?? 0} to ${maxItems ?? 'any number of'} items.`;
  if (maxLength !== undefined) return `${minLength ? `${minLength} to` : 'At most'} ${maxLength} characters.`;
  return minimum !== undefined ? `${minimum} or more.` : '';
}

/** The type of a schema in words. @returns {string} */
export function typeName(spec, schema) {
  const real = plain(spec, schema);
  if (real.enum) return real.enum.join(' | ');
  if (real.type === 'array') return `list of ${typeName(spec, real.items)}`;
  if (schema?.$ref) return schema.$ref.split('/').pop();
  return real.format === 'date-time' ? 'time' : (real.type ?? 'any');
}

/** A small body that the call accepts. @param {number} [depth] */
export function sample(spec, schema, depth = 0) {
  const real = plain(spec, schema);
  if (real.example !== undefined) return real.example;
  if (real.enum) return real.enum[0];
  if (real.type === 'array') return depth > 3 ? [] : [sample(spec, real.items, depth + 1)];
  if (real.type === 'object') {
    const names = real.required?.length ? real.required : Object.keys(real.properties ?? {}).slice(0, 2);
    return Object.fromEntries(names.map((name) => [name, SAMPLES[name] ?? sample(spec, real.properties[name], depth + 1)]));
  }
  if (real.type === 'integer' || real.type === 'number') return real.minimum ?? 0;
  return real.type === 'boolean' ? true : 'text';
}

/** @type {Record<string, any>} */
const SAMPLES = { image: 'hello', payload: 'to: ann', group_name: 'mail', group: undefined, name: 'w-1', host: 'host-a', max_concurrency: 20 };

/**
 * @param {string} method @param {string} path
 * @returns {{url: string, type: string, body: any}} the parts that all examples share
 */
export function exampleParts(spec, method, path) {
  const call = spec.paths[path][method];
  const url = path
    .replace('{group_name}', 'mail')
    .replace('{id}', 'JOB_ID')
    .replace('{worker}', 'w-1')
    .replace(/\{\w+\}/g, 'ID');
  const content = call.requestBody?.content ?? {};
  const type = ['application/json', 'text/plain'].find((each) => content[each]) ?? '';
  const body = type === 'application/json' ? sample(spec, content[type].schema) : type ? 'hello\nworld\n' : undefined;
  return { url, type, body };
}

/**
 * The same call in three languages.
 * @param {string} method @param {string} path @param {string} origin the broker's address, without a slash at its end
 */
export function examples(spec, method, path, origin) {
  const { url, type, body } = exampleParts(spec, method, path);
  const json = type === 'application/json';
  const text = json ? JSON.stringify(body) : body;
  const verb = method.toUpperCase();
  const address = `${origin}${url}`;
  const curl = [
    'curl -s',
    verb === 'GET' ? '' : `-X ${verb}`,
    quoted(address),
    type ? `-H 'Content-Type: ${type}'` : '',
    text === undefined ? '' : `${json ? '-d' : '--data-binary'} ${quoted(text)}`,
  ]
    .filter(Boolean)
    .join(' ');
  const data = text === undefined ? '' : `, data=${JSON.stringify(text)}.encode()`;
  const python = [
    'from urllib.request import Request, urlopen',
    '',
    `request = Request(${JSON.stringify(address)}, method="${verb}"${data})`,
    type ? `request.add_header("Content-Type", "${type}")` : '',
    'with urlopen(request) as response:',
    '    print(response.read().decode())',
  ]
    .filter((row, at) => row || at === 1)
    .join('\n');
  const options = [
    verb === 'GET' ? '' : `method: '${verb}'`,
    type ? `headers: { 'Content-Type': '${type}' }` : '',
    json ? `body: JSON.stringify(${text})` : text === undefined ? '' : `body: ${JSON.stringify(text)}`,
  ].filter(Boolean);
  const javascript = [
    `const response = await fetch('${address}'${options.length ? `, {\n  ${options.join(',\n  ')},\n}` : ''});`,
    'console.log(response.status, await response.text());',
  ].join('\n');
  return { curl, Python: python, JavaScript: javascript };
}
