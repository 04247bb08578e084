import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { crashFields } from './layout.ts';

const SIZE: Record<string, number> = { u8: 1, u16: 2, u32: 4, i32: 4, u64: 8, i64: 8, Mfn: 4 };

/** Field offsets of an unmanaged AssemblyScript class, by the natural alignment that asc gives them. */
function layout(file: string, name: string): Record<string, number> {
  const text = readFileSync(new URL(`../../core/hypervisor/${file}`, import.meta.url), 'utf8');
  const body = text.slice(text.indexOf(`export class ${name} {`)).split('\n}')[0]!;
  const offsets: Record<string, number> = {};
  let at = 0;
  for (const [, field, type] of body.matchAll(/^  (\w+): (\w+);/gm)) {
    const size = SIZE[type!];
    assert.ok(size, `${field}: ${type}`);
    at = Math.ceil(at / size) * size;
    offsets[field!] = at;
    at += size;
  }
  return offsets;
}

test('reports read the fields where the core has them', () => {
  const domain = layout('domain.ts', 'Domain');
  const vcpu = layout('vcpu.ts', 'Vcpu');
  assert.equal(crashFields.reason, domain.crash_reason);
  assert.equal(crashFields.vcpu, domain.crash_vcpu);
  assert.equal(crashFields.timeRunning, 4096 + vcpu.time_running!);
  assert.equal(crashFields.ringNext, 4096 + vcpu.ring_next!);
  assert.equal(crashFields.hypercalls, 4096 + vcpu.hypercalls!);
  assert.equal(crashFields.exitsHlt, 4096 + vcpu.exits_hlt!);
  assert.equal(crashFields.exitsIo, 4096 + vcpu.exits_io!);
});
