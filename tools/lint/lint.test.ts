import assert from 'node:assert/strict';
import { test } from 'node:test';
import { layering } from './layering.ts';
import { repository } from './repository.ts';
import { sections, staticData } from './wasm.ts';

const rules = (path: string, text: string) => repository([{ path, text }]).map((finding) => finding.rule);
const imports = (path: string, target: string) => layering([{ path, text: `import { x } from '${target}';\n` }]).length;

test('layering: a floor imports those below it, never one above', () => {
  const good = [
    ['platform/node.ts', '../core/index.ts'],
    ['services/console/backend/node.ts', '../../../platform/port.ts'],
    ['services/console/protocol/ring.ts', './page.ts'],
    ['cli/main.ts', '../toolstack/client.ts'],
    ['core/index.ts', './shared/memory'],
    ['test/boot.test.ts', '../core/index.ts'],
    ['core/engine/run.test.ts', '../../tools/build.ts'],
    ['spec/x86/rows.ts', 'node:test'],
  ];
  const bad = [
    ['spec/x86/rows.ts', '../../core/index.ts'],
    ['core/index.ts', '../platform/node.ts'],
    ['platform/node.ts', '../services/console/index.ts'],
    ['services/console/backend/node.ts', '../../../toolstack/db.ts'],
    ['toolstack/db.ts', '../cli/main.ts'],
    ['platform/node.ts', '../tools/build.ts'],
    ['services/console/protocol/ring.ts', 'node:fs'],
    ['services/console/protocol/ring.ts', '../backend/node.ts'],
  ];
  for (const [path, target] of good) assert.equal(imports(path, target), 0, `${path} → ${target}`);
  for (const [path, target] of bad) assert.equal(imports(path, target), 1, `${path} → ${target}`);
  assert.equal(layering([{ path: 'core/a.ts', text: "const x = await import('../cli/b.ts');\n" }]).length, 1);
  assert.equal(layering([{ path: 'core/a.ts', text: "export * from '../cli/b.ts';\n" }]).length, 1);
});

test('repository rules: each one fails on what it forbids', () => {
  const line = (text: string) => rules('cli/a.ts', `${text}\n`);
  assert.deepEqual(line('const fine = 1; // todo list of a guest'), []);
  assert.deepEqual(line('// TO' + 'DO: later'), ['unfinished']);
  assert.deepEqual(line('// FIX' + 'ME'), ['unfinished']);
  assert.deepEqual(line("const url = 'https://registry" + ".npmjs.org/x';"), ['registry']);
  assert.deepEqual(line('deb http://deb' + '.debian.org/debian bookworm main'), ['registry']);
  assert.deepEqual(line("const path = '/ho" + "me/somebody/xenolith';"), ['machine path']);
  assert.deepEqual(line("const path = '/wo" + "rk/main/core';"), ['machine path']);
  assert.deepEqual(line('// either version 2 of the GNU ' + 'General Public License as published by'), ['licence']);
  assert.deepEqual(line('// SPDX' + '-License-Identifier: GPL-2.0'), ['licence']);
  assert.deepEqual(line('<<<<<<< HEAD'), ['conflict']);
  assert.deepEqual(line('const a = 1; '), ['white space']);
  assert.deepEqual(line('\tconst a = 1;'), ['white space']);
  assert.deepEqual(rules('cli/a.ts', 'const a = 1;'), ['last line']);
  assert.deepEqual(rules('cli/a.ts', 'x;\n'.repeat(800)), []);
  assert.deepEqual(rules('cli/a.ts', 'x;\n'.repeat(801)), ['length']);
});

/** A module of the given sections, each `[id, ...content]`. */
const module = (...parts: number[][]): Uint8Array =>
  new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, ...parts.flatMap(([id, ...body]) => [id, body.length, ...body])]);

test('wasm: data segments and a start function with effects are found', () => {
  assert.deepEqual(staticData(module([1, 1, 0x60, 0, 0])), []);
  assert.deepEqual(staticData(module([11, 0])), []);
  assert.match(staticData(module([11, 1, 0, 0x41, 0, 0x0b, 1, 0xff]))[0], /^1 data segments/);
  assert.throws(() => sections(new Uint8Array(8)), /magic number/);
  assert.throws(() => sections(new Uint8Array([...module(), 1, 0x80])), /cut off/);
  assert.throws(() => sections(new Uint8Array([...module(), 1, 9, 0])), /cut off/);

  // One imported function, memory and global before the start function, and one function before it.
  const imports = [2, 3, 1, 0x6d, 1, 0x66, 0, 0, 1, 0x6d, 1, 0x6d, 2, 3, 1, 2, 1, 0x6d, 1, 0x67, 3, 0x7f, 1];
  const withStart = (...body: number[]) => {
    const functions = [[0, 0x0b], [0, ...body, 0x0b]]; // prettier-ignore
    return staticData(module(imports, [8, 2], [10, 2, ...functions.flatMap((code) => [code.length, ...code])]));
  };
  assert.deepEqual(withStart(0x41, 0x80, 0x80, 0x04, 0x24, 72), []); // global.set $72 (i32.const 65536)
  assert.match(withStart(0x41, 8, 0x41, 1, 0x36, 2, 0)[0], /opcode 36/); // i32.store
  assert.match(withStart(0x10, 0)[0], /opcode 10/); // call
  assert.match(withStart(0xfc, 0x0b, 0)[0], /opcode fc/); // memory.fill
  assert.deepEqual(staticData(module(imports, [8, 0], [10, 0])), ['an imported start function']);
});
