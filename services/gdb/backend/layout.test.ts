import assert from 'node:assert/strict';
import { test } from 'node:test';
import { layout, numbers } from '../../../test/core_layout.ts';
import { CPU } from './registers.ts';

test('registers are read where the core has them', () => {
  const cpu = layout('arch/x86/cpu.ts', 'Cpu');
  const areas = numbers('arch/x86/cpu.ts');
  for (const [name, at] of Object.entries(CPU)) assert.equal(at, cpu[name] ?? areas[`CPU_${name.toUpperCase()}`], name);
});

test('reasons and kinds are those of the core', () => {
  const { DEBUG_BREAK, DEBUG_WRITE, DEBUG_READ, DEBUG_ACCESS, DEBUG_STEP } = numbers('engine/debug.ts');
  assert.deepEqual([DEBUG_BREAK, DEBUG_WRITE, DEBUG_READ, DEBUG_ACCESS, DEBUG_STEP], [1, 2, 3, 4, 5]);
});
