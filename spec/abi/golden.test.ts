import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { askCompiler, goldenConstants, goldenStructs, placesOf, type Golden } from './golden.ts';
import { STRUCTS } from './structs/index.ts';

const text = readFileSync(new URL('golden.json', import.meta.url), 'utf8');
const golden = JSON.parse(text) as Golden;

test('every structure is laid out as the C compiler lays out the header', () => {
  for (const [name, s] of goldenStructs()) assert.deepEqual(placesOf(s), golden.structs[name], name);
  assert.equal(Object.keys(golden.structs).length, goldenStructs().length);
});

test("every number is the header's", () => {
  assert.deepEqual(goldenConstants(), golden.constants);
});

test('the memory map entry is packed', () => {
  assert.equal(STRUCTS.e820entry.size, 20);
});

test('the fixture is what gcc and libxen-dev say', () => {
  assert.deepEqual(JSON.parse(askCompiler()), golden);
});
