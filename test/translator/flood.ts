// A guest that makes code without end: it may only slow itself down. What the host keeps for it is bounded.
import assert from 'node:assert/strict';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Random } from '../cpu/random.ts';
import { Assembler } from './assembler.ts';
import * as bed from './bed.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** `count` distinct loops, one after the other, each translated and run. Resident bytes and places in the table at its quarters. */
export function flood(count: number): { resident: number[]; table: number[]; machine: bed.Bed } {
  const machine = new bed.Bed(true);
  const gpr = new BigUint64Array(16);
  gpr[4] = BigInt(bed.STACK_TOP - 64);
  const state = { rflags: 2, mxcsr: 0x1f80, xmm: new Uint8Array(256), fsBase: 0, gsBase: 0 };
  const start = (memory: bed.Start['memory']): bed.Start => ({
    mode: 64,
    cpl: 0,
    rip: bed.CODE,
    gpr,
    ...state,
    memory,
  });
  machine.load(start([{ at: bed.CODE, bytes: writer() }]));
  const [resident, table]: [number[], number[]] = [[], []];
  for (let i = 0; i < count; i++) {
    // up to the loop's first round, and the rest of it
    assert.equal(machine.run(200), bed.EXIT.budget);
    machine.translate();
    machine.run(1500);
    if ((i + 1) % Math.floor(count / 4) !== 0) continue;
    collect();
    resident.push(process.memoryUsage().rss);
    table.push(machine.core.table.length);
  }
  return { resident, table, machine };
}

/** One loop behind the other, each with constants of its own: as many as fit into the code pages. All stay. */
export function wide(): { count: number; resident: number; machine: bed.Bed } {
  const machine = new bed.Bed(true);
  const a = new Assembler(64, new Random(1), { sse: 0, wild: 0 }, bed.CODE);
  const count = Math.floor((bed.CODE_PAGES * 4096 - 16) / 15);
  for (let i = 0; i < count; i++) {
    a.emit(0xb9); // mov ecx, 300; add ebx, i; dec ecx; jnz
    a.dword(300);
    a.emit(0x81, 0xc3);
    a.dword(i);
    a.emit(0xff, 0xc9, 0x75, 0xf6);
  }
  a.emit(0xf4);
  const state = { rflags: 2, mxcsr: 0x1f80, xmm: new Uint8Array(256), fsBase: 0, gsBase: 0 };
  const memory = [{ at: bed.CODE, bytes: a.finish() }];
  machine.load({ mode: 64, cpl: 0, rip: bed.CODE, gpr: new BigUint64Array(16), ...state, memory });
  collect();
  const before = process.memoryUsage().rss;
  for (let i = 0; i < count; i++) {
    machine.run(100);
    machine.translate();
    machine.run(800);
  }
  collect();
  return { count, resident: process.memoryUsage().rss - before, machine };
}

/** Writes a new constant into a loop of 500 rounds and runs it, for ever. */
function writer(): Uint8Array {
  const a = new Assembler(64, new Random(1), { sse: 0, wild: 0 }, bed.CODE);
  a.label(0);
  a.emit(0x41, 0xff, 0xc7, 0x44, 0x89, 0x3c, 0x25); // inc r15d; mov [constant], r15d
  a.dword(bed.CODE + 0x1000 + 1);
  a.emit(0xb9); // mov ecx, 500
  a.dword(500);
  a.emit(0xe9);
  a.reference(1);
  a.emit(...Array<number>(bed.CODE + 0x1000 - a.here).fill(0xcc));
  a.label(1);
  a.emit(0xb8);
  a.dword(0);
  a.emit(0x01, 0xc3, 0xff, 0xc9, 0x0f, 0x85); // add ebx, eax; dec ecx; jnz
  a.reference(1);
  a.emit(0xe9);
  a.reference(0);
  return a.finish();
}
