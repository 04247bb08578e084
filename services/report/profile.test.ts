import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LOG_EVENT, LOG_SAMPLE, SAMPLE_GUEST, SAMPLE_HYPERVISOR, SAMPLE_IDLE } from '../../platform/core.ts';
import { SymbolTable } from '../symbols/protocol/table.ts';
import { flameGraph } from './flame_graph.ts';
import { folded, Profile, summary } from './profile.ts';
import type { LogRecord } from './log_reader.ts';

const SHIFT = 0x1000000n;
const kernel = new SymbolTable([
  { address: 0xffffffff81000000n, name: 'entry_SYSCALL_64', code: true, size: 0x100 },
  { address: 0xffffffff81001000n, name: 'outer', code: true, size: 0x100 },
  { address: 0xffffffff81001100n, name: 'inner', code: true, size: 0x100 },
]);

interface Sample {
  kind: number;
  rip?: bigint;
  weight?: number;
  cpl?: number;
  call?: number;
  tier?: number;
  chain?: bigint[];
  lstar?: bigint;
}

function sample({
  kind,
  rip = 0n,
  weight = 1,
  cpl = 0,
  call = 0,
  tier = 0,
  chain = [],
  lstar = 0n,
}: Sample): LogRecord {
  const p = new DataView(new ArrayBuffer(48 + 8 * chain.length));
  p.setBigUint64(0, rip, true);
  p.setUint16(16, kind, true);
  p.setUint16(18, tier, true);
  p.setUint32(20, weight, true);
  p.setUint16(26, cpl, true);
  p.setUint16(30, chain.length, true);
  p.setBigUint64(32, BigInt(call), true);
  p.setBigUint64(40, lstar, true);
  chain.forEach((address, i) => p.setBigUint64(48 + 8 * i, address, true));
  return { type: LOG_SAMPLE, domid: 1, time: 0n, payload: p };
}

test('samples become stacks of names, wherever the kernel lies', () => {
  const profile = new Profile();
  const inner = 0xffffffff81001180n + SHIFT;
  // the return address is the first byte behind `outer`: the call was in it
  const outer = 0xffffffff81001100n + SHIFT;
  profile.add(sample({ kind: SAMPLE_GUEST, rip: inner, weight: 3, tier: 1, chain: [outer] }));
  profile.add(sample({ kind: SAMPLE_GUEST, rip: inner + 4n, weight: 2, chain: [outer] }));
  profile.add(sample({ kind: SAMPLE_GUEST, rip: 0x401234n, cpl: 3, weight: 4 }));
  profile.add(sample({ kind: SAMPLE_HYPERVISOR, rip: inner, call: 32, lstar: 0xffffffff81000000n + SHIFT }));
  profile.add(sample({ kind: SAMPLE_IDLE, weight: 10 }));
  profile.add({ type: LOG_EVENT, domid: 1, time: 0n, payload: new DataView(new ArrayBuffer(16)) });
  profile.add(null);
  const result = profile.result(kernel);
  assert.deepEqual(result.parts, { kernel: 5, user: 4, hypervisor: 1, idle: 10 });
  assert.equal(result.offset, SHIFT);
  assert.equal(result.lost, 1);
  const lines = folded(result).trimEnd().split('\n').sort();
  assert.deepEqual(lines, [
    'hypervisor;inner;[event_channel_op] 1',
    'idle 10',
    'kernel;outer;inner 5',
    'user;[0x400000] 4',
  ]);
  assert.match(
    summary(result, 997),
    /20 samples at 997 Hz: kernel 25\.0 %, user 20\.0 %, hypervisor 5\.0 %, idle 50\.0 %/,
  );
  assert.match(summary(result, 997), /translated 33\.3 %, interpreted 66\.7 %/);
  assert.match(summary(result, 997), /50\.0 % {2}kernel {6}inner/);
});

test("user code is named by the files that are given, with their base; early code by the kernel's physical addresses", () => {
  const profile = new Profile();
  profile.add(sample({ kind: SAMPLE_GUEST, rip: 0x555500001010n, cpl: 3 }));
  profile.add(sample({ kind: SAMPLE_GUEST, rip: 0x1001010n }));
  const table = new SymbolTable([{ address: 0x1000n, name: 'main', code: true, size: 0x100 }]);
  const result = profile.result(kernel, [{ table, base: 0x555500000000n }]);
  assert.deepEqual(result.stacks.map(({ frames }) => frames.join(';')).sort(), ['kernel;outer', 'user;main']);
});

test('a flame graph is an SVG file of nested boxes, without script', () => {
  const svg = flameGraph('Title <1>', 'sub & title', [
    { frames: ['kernel', 'a<b>', 'c'], weight: 75 },
    { frames: ['kernel', 'a<b>'], weight: 5 },
    { frames: ['user', 'main'], weight: 20 },
  ]);
  const open: string[] = [];
  for (const [, close, name, self] of svg.matchAll(/<(\/?)(\w+)[^>]*?(\/?)>/g)) {
    if (close) assert.equal(open.pop(), name);
    else if (!self) open.push(name!);
  }
  assert.deepEqual(open, []);
  assert.doesNotMatch(svg, /<script|onclick|xlink|href/i);
  assert.match(svg, /<title>a&lt;b&gt;: 80 samples, 80\.00 %<\/title>/);
  const width = (name: string): number =>
    Number(new RegExp(`<title>${name}: [^<]*</title><rect [^>]*width="([\\d.]+)"`).exec(svg)![1]);
  assert.ok(Math.abs(width('user') / width('all') - 0.2) < 0.01);
  assert.ok(Math.abs(width('c') / width('all') - 0.75) < 0.01);
});
