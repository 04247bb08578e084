// A guest under Xenolith in a process of its own, which reports each line of the guest's console together with what the vCPU
// has done until then. Arguments: kernel, initrd, command line, memory in MiB, pvh or pv.
import '../../bin/parent.cjs';
import { readFileSync } from 'node:fs';
import { elfImage } from '../../toolstack/kernel.ts';
import { loadCore } from '../../platform/core.ts';
import { Machine } from '../../platform/machine.ts';
import { buildDomain, type Plan } from '../../services/domain_builder/protocol/index.ts';
import { CpuState } from '../../services/report/cpu_state.ts';
import { crashFields } from '../../services/report/layout.ts';
import { Host } from '../../services/xenops/host.ts';

export interface Counters {
  /** retired instructions */
  instructions: number;
  hypercalls: number;
  halts: number;
  io: number;
}
export interface Line {
  text: string;
  counters: Counters;
}

const MIB = 1 << 20;

/** As `xenolith run` does: what has been copied into the guest is not kept. */
function release(plan: Plan): void {
  for (const { bytes } of plan.writes) {
    if (bytes.buffer instanceof ArrayBuffer && bytes.buffer.byteLength >= MIB) bytes.buffer.transfer(0);
  }
}

async function main([kernel, initrd, cmdline, mib, type]: string[]): Promise<void> {
  const size = Number(mib) * MIB;
  const plan = buildDomain({
    type: type === 'pv' ? 'pv' : 'pvh',
    kernel: elfImage(readFileSync(kernel!)),
    initrd: readFileSync(initrd!),
    cmdline: cmdline!,
    memory: size,
  });
  const machine = new Machine({ memory: plan.size }, loadCore());
  machine.onFailure((error) => {
    console.error(error);
    process.exit(1);
  });
  const host = new Host(machine);
  let rest = '';
  const counters = (): Counters => {
    const cpu = new CpuState(machine.memory, machine.core.domain_cpu(guest.domid, 0) >>> 0);
    const count = (field: number) => Number(cpu.u64(field));
    return {
      instructions: Number(cpu.retired),
      hypercalls: count(crashFields.hypercalls),
      halts: count(crashFields.exitsHlt),
      io: count(crashFields.exitsIo),
    };
  };
  const write = (bytes: Uint8Array): void => {
    const lines = (rest + Buffer.from(bytes).toString('latin1')).split('\n');
    rest = lines.pop()!;
    for (const text of lines) process.send!({ text, counters: counters() } satisfies Line);
  };
  const guest = host.create({ name: 'bench', plan, memoryKib: size / 1024, vcpus: 1, console: { write } });
  release(plan);
  await host.run(() => guest.outcome !== null);
  while (host.pump());
  const { outcome } = guest;
  guest.destroy();
  await host.stop();
  process.exitCode = outcome === 'poweroff' ? 0 : 1;
  process.disconnect!();
}

await main(process.argv.slice(2));
