// Lowering makes no access that does not go through a probe of its size and kind: wrong IR stops it.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { compile } from '../../tools/build.ts';
import { Random } from '../cpu/random.ts';
import { Assembler } from './assembler.ts';
import * as bed from './bed.ts';

const OUTPUT = 'build/test/verify.wasm';
const FLAGS = [
  ...['--runtime', 'stub', '--importMemory', '--sharedMemory', '--initialMemory', '1', '--maximumMemory', '65536'],
  ...[
    '--enable',
    'threads,simd,sign-extension,mutable-globals,nontrapping-f2i,bulk-memory',
    '-O1',
    '--disableWarning',
    '201',
  ],
  ...['--disableWarning', '112'],
];
/** Node numbers of core/engine/ir.ts by name. */
const source = readFileSync(join(import.meta.dirname, '../../core/engine/ir.ts'), 'utf8');
const op = (name: string): number => Number(new RegExp(`^export const IR_${name}: u8 = (\\d+);`, 'm').exec(source)![1]);
const HOW = { none: 0, larger: 1, address: 2, reading: 3 };

interface Exports {
  translator_next(): number;
  run(slot: number, op: number, how: number): number;
  changed: WebAssembly.Global;
}

test('lowering stops at an access without its probe', async () => {
  mkdirSync(join(import.meta.dirname, '../../build/test'), { recursive: true });
  await compile('core/translator/verify_entry.ts', OUTPUT, FLAGS);
  const machine = new bed.Bed(true);
  const a = new Assembler(64, new Random(1), { sse: 0, wild: 0 }, bed.CODE);
  a.label(0);
  a.emit(0x8b, 0x03, 0x89, 0x03); // mov eax, [rbx]; mov [rbx], eax
  a.emit(0xf3, 0x0f, 0x6f, 0x03, 0xf3, 0x0f, 0x7f, 0x03); // movdqu both ways
  a.emit(0xf0, 0x0f, 0xc1, 0x03); // lock xadd [rbx], eax
  a.emit(0xe9);
  a.reference(0);
  const gpr = new BigUint64Array(16);
  gpr[3] = BigInt(bed.DATA);
  const rest = { rflags: 2, mxcsr: 0x1f80, xmm: new Uint8Array(256), fsBase: 0, gsBase: 0 };
  machine.load({ mode: 64, cpl: 0, rip: bed.CODE, gpr, ...rest, memory: [{ at: bed.CODE, bytes: a.finish() }] });
  machine.run(20);
  assert.ok(machine.want());
  const abort = (): never => assert.fail('abort');
  const module = new WebAssembly.Module(readFileSync(join(import.meta.dirname, '../..', OUTPUT)));
  const core = new WebAssembly.Instance(module, { env: { memory: machine.memory, abort } })
    .exports as unknown as Exports;
  const slot = core.translator_next();
  assert.ok(core.run(slot, 0, HOW.none) > 0);
  for (const name of ['LOAD', 'STORE', 'VLOAD', 'VSTORE', 'CAS']) {
    for (const how of ['larger', 'address', ...(name.endsWith('LOAD') ? [] : ['reading'])] as (keyof typeof HOW)[]) {
      assert.throws(() => core.run(slot, op(name), HOW[how]), WebAssembly.RuntimeError, `${name}, ${how}`);
      assert.ok(core.changed.value > 0, name);
    }
    assert.ok(core.run(slot, op(name), HOW.none) > 0, `${name}: nothing is left behind`);
  }
});
