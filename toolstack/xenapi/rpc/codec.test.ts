import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Type } from '../../../spec/xenapi/types.ts';
import { random as generator } from '../../../test/random.ts';
import { memoryDatabase } from '../database/open.ts';
import { Decoder, readTime } from './decode.ts';
import { escapeXml, json, xmlValue } from './encode.ts';
import { readJson } from './json_read.ts';
import { Malformed, MAX_DEPTH, type Raw } from './limits.ts';
import { readXml } from './xml_read.ts';

const xmlCall = (params: string[], method = 'm'): string =>
  `<?xml version="1.0"?><methodCall><methodName>${method}</methodName><params>${params
    .map((each) => `<param>${each}</param>`)
    .join('')}</params></methodCall>`;

const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

/** A random type and a value of it. */
function sample(below: (n: number) => number, depth: number): { type: Type; value: unknown } {
  const text = () =>
    Array.from({ length: below(8) }, () =>
      String.fromCodePoint(['a', '<', '&', '"', 'ü', '€', '😀', ']'][below(8)].codePointAt(0)!),
    ).join('');
  switch (below(depth > 3 ? 5 : 7)) {
    case 0:
      return { type: { kind: 'string' }, value: text() };
    case 1:
      return { type: { kind: 'int' }, value: below(2) ? -below(2 ** 31) : below(2 ** 31) * 2 ** 20 };
    case 2:
      return { type: { kind: 'float' }, value: below(1000) / 64 };
    case 3:
      return { type: { kind: 'bool' }, value: below(2) === 1 };
    case 4:
      return { type: { kind: 'datetime' }, value: '20261126T16:00:00Z' };
    case 5: {
      const { type } = sample(below, depth + 1);
      const seed = below(1000) + 1;
      const values = Array.from({ length: below(4) }, () => sampleOf(type, generator(seed)));
      return { type: { kind: 'set', of: type }, value: values };
    }
    default: {
      const { type } = sample(below, depth + 1);
      const map = Object.create(null) as Record<string, unknown>;
      for (let n = below(4); n > 0; n--)
        map[['__proto__', 'a', 'constructor', text()][below(4)]] = sampleOf(type, below);
      return { type: { kind: 'map', key: { kind: 'string' }, value: type }, value: map };
    }
  }
}

/** A value of a given type. */
function sampleOf(type: Type, below: (n: number) => number): unknown {
  switch (type.kind) {
    case 'int':
      return below(1000);
    case 'float':
      return below(1000) / 8;
    case 'bool':
      return below(2) === 0;
    case 'datetime':
      return '19700101T00:00:00Z';
    case 'set':
      return Array.from({ length: below(3) }, () => sampleOf(type.of, below));
    case 'map':
      return { k: sampleOf(type.value, below) };
    default:
      return `<${below(100)}>`;
  }
}

test('what is written in either protocol is read as it was', () => {
  const below = generator(11);
  const decoder = new Decoder(memoryDatabase());
  for (let i = 0; i < 1500; i++) {
    const { type, value } = sample(below, 0);
    const fromXml = readXml(xmlCall([xmlValue(type, value)])).params[0];
    assert.deepEqual(
      plain(decoder.read('x', type, fromXml)),
      plain(value),
      `${JSON.stringify(type)} ${JSON.stringify(value)}`,
    );
    const text = `{"method":"m","params":[${[...json(type, value)].join('')}]}`;
    assert.deepEqual(plain(decoder.read('x', type, readJson(text).params[0])), plain(value));
  }
});

test('values as clients write them', () => {
  const value = (xml: string): Raw => readXml(xmlCall([`<value>${xml}</value>`])).params[0];
  assert.equal(value('a &lt;b&gt; &#x41;'), 'a <b> A');
  assert.equal(value('<string> x </string>'), ' x ');
  assert.equal(value('<string/>'), '');
  assert.equal(value(''), '');
  assert.equal(value('\n <i4>-5</i4>\n '), -5);
  assert.equal(value('<int>+7</int>'), 7);
  assert.equal(value('<boolean>1</boolean>'), true);
  assert.equal(value('<double>-2.5e3</double>'), -2500);
  assert.equal(value('<base64>aGFsbG8=</base64>'), 'hallo');
  assert.equal(value('<nil/>'), null);
  assert.equal(value('<![CDATA[<x>]]>'), '<x>');
  assert.deepEqual(value('<array><data/></array>'), []);
  assert.deepEqual(value('<array><data><value>a</value><value><int>1</int></value></data></array>'), ['a', 1]);
  assert.deepEqual(plain(value('<struct><member><name>a</name><value>b</value></member></struct>')), { a: 'b' });
  assert.deepEqual(readXml('<methodCall><methodName> m </methodName></methodCall>'), { method: 'm', params: [] });
});

const BAD_XML = [
  '',
  'x',
  '<methodCall>',
  '<methodCall></methodCall>',
  '<methodResponse/>',
  '<methodCall><params/></methodCall>',
  xmlCall(['']),
  xmlCall(['<value><int>x</int></value>']),
  xmlCall(['<value><boolean>2</boolean></value>']),
  xmlCall(['<value>a<int>1</int></value>']),
  xmlCall(['<value><int>1</int><int>2</int></value>']),
  xmlCall(['<value/><value/>']),
  xmlCall(['<value><struct><member><value>1</value></member></struct></value>']),
  xmlCall(['<value><struct><member><name>a</name></member></struct></value>']),
  xmlCall([`<value><struct>${'<member><name>a</name><value>1</value></member>'.repeat(2)}</struct></value>`]),
  xmlCall(['<value><b>1</b></value>']),
  `${xmlCall([])}${xmlCall([])}`,
  `<!DOCTYPE x [<!ENTITY a "b">]>${xmlCall(['<value>&a;</value>']).slice(21)}`,
  xmlCall(['<value>&nbsp;</value>']),
  `<!DOCTYPE lolz SYSTEM "file:///etc/passwd">${xmlCall([]).slice(21)}`,
  xmlCall([`${'<value><array><data>'.repeat(100)}<value/>${'</data></array></value>'.repeat(100)}`]),
];

test('what is no call is malformed, and nothing else', () => {
  for (const text of BAD_XML) assert.throws(() => readXml(text), Malformed, text.slice(0, 200));
  const nested = '['.repeat(MAX_DEPTH + 1) + ']'.repeat(MAX_DEPTH + 1);
  const bad = ['', '{', '[]', 'null', '{"method":1}', '{"method":"m","params":{}}', '{"method":"m","params":5}', '"m"'];
  bad.push(`{"method":"m","params":${nested}}`, '{"method":"m","id":{}}', '{"method":"m","jsonrpc":"3"}', '{"a":"[[[');
  for (const text of bad) assert.throws(() => readJson(text), Malformed, text.slice(0, 80));
  assert.throws(() => readJson(`{"method":"m","params":[${'1,'.repeat(300_000)}1]}`), /too many values/);
  // Brackets in strings nest nothing.
  assert.equal(readJson(`{"method":"m","params":["${'['.repeat(500)}\\"["]}`).params.length, 1);
});

test('mutated calls are read or malformed, never another error', () => {
  const below = generator(3);
  const seeds = [
    xmlCall([
      '<value><struct><member><name>a</name><value><array><data><value><int>1</int></value></data></array></value></member></struct></value>',
    ]),
    xmlCall([
      '<value>OpaqueRef:1</value>',
      '<value><boolean>1</boolean></value>',
      '<value><double>1.5</double></value>',
    ]),
  ];
  const pieces = [
    '<',
    '>',
    '&',
    '</value>',
    '<value>',
    '\u0000',
    '<struct>',
    '"',
    '=',
    ' ',
    'é',
    '<!--',
    '<?x',
    ']]>',
    '&#0;',
    '&#xD800;',
  ];
  for (let i = 0; i < 4000; i++) {
    let text = seeds[below(seeds.length)];
    for (let n = below(4) + 1; n > 0; n--) {
      const at = below(text.length);
      text = text.slice(0, at) + (below(3) ? pieces[below(pieces.length)] : '') + text.slice(at + below(12));
    }
    try {
      readXml(text);
    } catch (error) {
      assert.ok(error instanceof Malformed, `${text}\n${(error as Error).stack}`);
    }
    try {
      readJson(text.replaceAll('<', '{').replaceAll('>', '"'));
    } catch (error) {
      assert.ok(error instanceof Malformed);
    }
  }
});

test('text that XML cannot carry does not break the answer', () => {
  assert.equal(escapeXml('a\u0000b\ud800<&>\r\n\t'), 'a\ufffdb\ufffd&lt;&amp;&gt;&#xD;\n\t');
});

test('arguments of a wrong type are refused by name', () => {
  const decoder = new Decoder(memoryDatabase());
  const read = (type: Type, raw: Raw) => decoder.read('p', type, raw);
  const code = (wanted: string) => ({ code: wanted });
  assert.equal(read({ kind: 'int' }, '12'), 12);
  for (const raw of ['', 'x', '1.5', 1.5, '9007199254740993', true, null, [], {}] as Raw[])
    assert.throws(() => read({ kind: 'int' }, raw), code('XMLRPC_UNMARSHAL_ERROR'), String(raw));
  for (const raw of [1, null, [], {}, true] as Raw[])
    assert.throws(() => read({ kind: 'string' }, raw), code('XMLRPC_UNMARSHAL_ERROR'));
  for (const raw of ['true', 1, null] as Raw[])
    assert.throws(() => read({ kind: 'bool' }, raw), code('XMLRPC_UNMARSHAL_ERROR'));
  assert.throws(() => read({ kind: 'enum', name: 'vbd_mode' }, 'XX'), { code: 'INVALID_VALUE', params: ['p', 'XX'] });
  assert.equal(read({ kind: 'enum', name: 'vbd_mode' }, 'rw'), 'RW');
  assert.throws(() => read({ kind: 'ref', class: 'VM' }, 'OpaqueRef:no'), {
    code: 'HANDLE_INVALID',
    params: ['VM', 'OpaqueRef:no'],
  });
  assert.equal(read({ kind: 'ref', class: 'VM' }, 'OpaqueRef:NULL'), 'OpaqueRef:NULL');
  const map = read(
    { kind: 'map', key: { kind: 'string' }, value: { kind: 'string' } },
    JSON.parse('{"__proto__":"x"}') as Raw,
  );
  assert.deepEqual(Object.entries(map), [['__proto__', 'x']]);
  assert.equal(({} as { x?: string }).x, undefined);
});

test('times in every usual way', () => {
  for (const text of [
    '20261126T16:05:07Z',
    '2026-11-26T16:05:07Z',
    '20261126T160507Z',
    '20261126T16:05:07',
    '2026-11-26T18:05:07.123+02:00',
  ])
    assert.equal(readTime(text), '20261126T16:05:07Z', text);
  for (const text of [
    '',
    '2026',
    '20261301T00:00:00Z',
    '20260230T00:00:00Z',
    '20260101T24:00:00Z',
    'x20260101T00:00:00Z',
  ])
    assert.equal(readTime(text), undefined, text);
});
