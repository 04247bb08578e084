import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { askCompatCompiler, compatPlaces, compatStructs, type CompatGolden } from './golden_compat.ts';

const text = readFileSync(new URL('golden_compat.json', import.meta.url), 'utf8');
const golden = JSON.parse(text) as CompatGolden;

test('every structure is laid out for 32-bit code as its compiler lays out the header', () => {
  for (const [name, s] of compatStructs()) assert.deepEqual(compatPlaces(s), golden[name], name);
  assert.equal(Object.keys(golden).length, compatStructs().length);
});

test('the fixture is what gcc and libxen-dev say', () => {
  assert.deepEqual(askCompatCompiler(), golden);
});
