// Copies between two memories go where they are to go, and nowhere else.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { copier } from './gate_copy.ts';

test('to and from machine memory, and what lies beyond either is a trap', () => {
  const memory = (): WebAssembly.Memory => new WebAssembly.Memory({ shared: true, initial: 1, maximum: 1 });
  const [machine, box] = [memory(), memory()];
  const [m, b] = [new Uint8Array(machine.buffer), new Uint8Array(box.buffer)];
  const { to, from } = copier(machine, box);
  b.set([1, 2, 3, 4, 5], 100);
  to(60_000, 101, 3);
  assert.deepEqual([...m.subarray(59_999, 60_004)], [0, 2, 3, 4, 0]);
  m[60_001] = 9;
  from(7, 60_000, 3);
  assert.deepEqual([...b.subarray(6, 11)], [0, 2, 9, 4, 0]);
  assert.throws(() => to(65_534, 0, 3), WebAssembly.RuntimeError);
  assert.throws(() => from(0, 65_534, 3), WebAssembly.RuntimeError);
});
