// The report of a domain that crashed: why, where, and what it did last.
import type { Machine } from '../../platform/machine.ts';
import { formatHypercall, formatResult } from '../../spec/abi/trace.ts';
import { CpuState, REGISTERS } from './cpu_state.ts';
import { disassemble } from './disassemble.ts';
import { guestReader } from './guest_reader.ts';

/** In the domain's page and in the Vcpu (core/hypervisor/domain.ts, vcpu.ts, crash.ts). */
import { crashFields } from './layout.ts';

const REASONS: Readonly<Record<number, string>> = {
  1: 'triple fault: an exception could not be delivered',
  2: 'the guest reported a crash itself',
  3: 'a device model answered nonsense',
  17: 'an exception for which the PV guest has no handler',
  18: "an event could not be put on the PV guest kernel's stack",
  19: 'HYPERVISOR_iret with a frame that cannot be read',
  20: 'HYPERVISOR_iret to user mode without a user page table',
  21: 'an event for which the PV guest has registered no callback',
  22: 'segments that cannot be loaded, and no failsafe callback of the PV guest that can be entered',
  23: 'HYPERVISOR_iret to ring 0',
};
const SEGMENTS = 'es cs ss ds fs gs ldtr tr'.split(' ');

const hex64 = (v: bigint): string => v.toString(16).padStart(16, '0');

export function crashReport(machine: Machine, domid: number): string {
  const page = machine.core.domain_crash_page(domid) >>> 0;
  const view = new DataView(machine.memory.buffer);
  const reason = view.getUint32(page + crashFields.reason, true);
  const vcpu = view.getUint32(page + crashFields.vcpu, true);
  const at = machine.core.domain_cpu(domid, vcpu) >>> 0;
  const cpu = new CpuState(machine.memory, at);
  const length = Math.min(16, view.getUint32(page + crashFields.bytesLength, true));
  const bytes = new Uint8Array(machine.memory.buffer, page + crashFields.bytes, length).slice();
  const lines = [
    `domain ${domid} crashed: ${REASONS[reason] ?? 'it was shut down with the reason crash'} (vCPU ${vcpu})`,
  ];
  lines.push(`  rip ${hex64(cpu.rip)}  rflags ${hex64(cpu.rflags)}  cpl ${cpu.cpl}  ${cpu.codeSize}-bit code`);
  for (let i = 0; i < 16; i += 4)
    lines.push(
      `  ${REGISTERS.slice(i, i + 4)
        .map((name, k) => `${name.padEnd(3)} ${hex64(cpu.register(i + k))}`)
        .join('  ')}`,
    );
  lines.push(
    `  ${(['cr0', 'cr2', 'cr3', 'cr4', 'efer'] as const).map((n) => `${n} ${cpu.control(n).toString(16)}`).join('  ')}`,
  );
  lines.push(`  ${SEGMENTS.map((name, i) => `${name} ${cpu.selector(i).toString(16)}`).join('  ')}`);
  lines.push(`  at rip: ${instruction(bytes, cpu)}`);
  const calls = cpu.hypercalls(cpu.u32(crashFields.ringNext));
  lines.push(calls.length ? '  last hypercalls, and what their arguments point to now:' : '  no hypercalls');
  const read = guestReader(machine, domid, cpu);
  for (const { nr, args, result } of calls)
    lines.push(`    ${formatHypercall(nr, args, read)} = ${formatResult(result)}`);
  return `${lines.join('\n')}\n`;
}

function instruction(bytes: Uint8Array, cpu: CpuState): string {
  if (bytes.length === 0) return 'nothing is mapped there';
  const raw = Buffer.from(bytes).toString('hex');
  const decoded = disassemble(bytes, cpu.codeSize, cpu.rip);
  return decoded ? `${raw.slice(0, 2 * decoded.length)}  ${decoded.text}` : `${raw}  no instruction`;
}
