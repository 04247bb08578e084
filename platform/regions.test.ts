import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Core } from './core.ts';
import { MAX_BYTES, MAX_REGIONS, Regions } from './regions.ts';

/** (module (import "env" "mem" (memory 1 65536 shared)) (func (export "f"))) */
const MODULE = new WebAssembly.Module(
  Uint8Array.from(
    Buffer.from(
      '0061736d01000000010401600000020f0103656e76036d656d02030180800403020100070501016600000a040102000b',
      'hex',
    ),
  ),
);

interface Fake {
  core: Core;
  epoch: number;
  answers: number[];
  /** Places of regions that have died. */
  dead: number[];
}
function fake(): Fake {
  const f: Fake = { core: {} as Core, epoch: 0, answers: [], dead: [] };
  f.core = {
    table: new WebAssembly.Table({ initial: 10, element: 'anyfunc' }),
    region_epoch: () => f.epoch,
    region_vacant: () => f.dead.pop() ?? 0,
    region_install: (_slot: number, fn: number) => (f.answers.push(fn), fn === 0 ? 0 : 1),
  } as unknown as Core;
  return f;
}
const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true });

test('no more bytes of modules than the bound are kept, until all is forgotten', () => {
  const f = fake();
  const regions = new Regions(f.core, memory);
  const answer = { slot: 0, module: MODULE, bytes: MAX_BYTES / 4 };
  for (let i = 0; i < 6; i++) regions.install(answer);
  assert.deepEqual(f.answers, [10, 11, 12, 13, 0, 0]);
  f.epoch++;
  regions.install(answer);
  assert.equal(f.answers.at(-1), 10);
  assert.equal(f.core.table.get(11), null, 'a forgotten function is kept');
});

test('no more regions than the bound are kept, and the table does not grow beyond them', () => {
  const f = fake();
  const regions = new Regions(f.core, memory);
  for (let i = 0; i < MAX_REGIONS + 10; i++) regions.install({ slot: 0, module: MODULE, bytes: 48 });
  assert.equal(f.answers.filter((fn) => fn !== 0).length, MAX_REGIONS);
  assert.ok(f.core.table.length < MAX_REGIONS + 2000);
});

test('what the core refuses takes no place', () => {
  const f = fake();
  f.core.region_install = (_slot, fn) => (f.answers.push(fn), 0);
  const regions = new Regions(f.core, memory);
  for (let i = 0; i < 3; i++) regions.install({ slot: i, module: MODULE, bytes: 48 });
  assert.deepEqual(f.answers, [10, 10, 10]);
});

test('the place and the bytes of a region whose code was written are for another', () => {
  const f = fake();
  const regions = new Regions(f.core, memory);
  const answer = { slot: 0, module: MODULE, bytes: MAX_BYTES / 3 };
  for (let i = 0; i < 4; i++) regions.install(answer);
  f.dead = [11, 10];
  regions.install(answer);
  assert.equal(f.core.table.get(10), null, 'a dead function is kept');
  for (let i = 0; i < 2; i++) regions.install(answer);
  assert.deepEqual(f.answers, [10, 11, 12, 0, 11, 10, 0]);
});
