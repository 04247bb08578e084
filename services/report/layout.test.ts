import assert from 'node:assert/strict';
import { test } from 'node:test';
import { layout, numbers } from '../../test/core_layout.ts';
import { crashFields } from './layout.ts';

test('reports read the fields where the core has them', () => {
  const domain = layout('hypervisor/domain.ts', 'Domain');
  const vcpu = layout('hypervisor/vcpu.ts', 'Vcpu');
  assert.equal(crashFields.reason, domain.crash_reason);
  assert.equal(crashFields.vcpu, domain.crash_vcpu);
  const pv = layout('arch/x86/pv/state.ts', 'PvCpu');
  assert.equal(crashFields.kernelRoot, numbers('arch/x86/cpu.ts').CPU_PV! + pv.kernel_root!);
  assert.equal(crashFields.timeRunning, 4096 + vcpu.time_running!);
  assert.equal(crashFields.ringNext, 4096 + vcpu.ring_next!);
  assert.equal(crashFields.hypercalls, 4096 + vcpu.hypercalls!);
  assert.equal(crashFields.exitsHlt, 4096 + vcpu.exits_hlt!);
  assert.equal(crashFields.exitsIo, 4096 + vcpu.exits_io!);
  assert.equal(crashFields.slices, 4096 + vcpu.slices!);
  assert.equal(crashFields.upcalls, 4096 + vcpu.upcalls!);
  assert.equal(crashFields.interrupts, 4096 + vcpu.interrupts!);
  assert.equal(crashFields.exitsBudget, 4096 + vcpu.exits_budget!);
  assert.equal(crashFields.calls, 4096 + numbers('hypervisor/vcpu.ts').VCPU_CALLS!);
});
