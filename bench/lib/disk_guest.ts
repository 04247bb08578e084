// A guest with a disk under Xenolith, its console on stdout. Arguments: kernel, initrd, image, command line, memory in MiB, and a folder for a profile of the
// guest, if there is to be one.
import '../../bin/parent.cjs';
import { readFileSync } from 'node:fs';
import { loadCore } from '../../platform/core.ts';
import { Machine } from '../../platform/machine.ts';
import { buildDomain } from '../../services/domain_builder/protocol/index.ts';
import { CpuState } from '../../services/report/cpu_state.ts';
import { crashFields } from '../../services/report/layout.ts';
import { Host } from '../../services/xenops/host.ts';
import { ThreadTimes } from './thread_times.ts';
import { elfImage } from '../../toolstack/kernel.ts';

const HZ = 997;
const [kernel, initrd, path, cmdline, mib, out] = process.argv.slice(2) as [string, string, string, string, string, string?]; // prettier-ignore
const memory = Number(mib) << 20;
const plan = buildDomain({
  type: 'pvh',
  kernel: elfImage(readFileSync(kernel)),
  initrd: readFileSync(initrd),
  cmdline,
  memory,
});
const machine = new Machine({ memory: plan.size + (8 << 20), ...(out && { profile: HZ }) }, loadCore());
const profile = out ? new (await import('./disk_profile.ts')).DiskProfile(machine, elfImage(readFileSync(kernel)), out, HZ) : undefined; // prettier-ignore
machine.onFailure((error) => {
  console.error(error);
  process.exit(1);
});
const host = new Host(machine);
const disks = await host.disks.open([
  {
    ...{ vdev: 'xvda', number: 51712, cdrom: false, discard: true, sectorSize: 512 },
    image: { path, format: 'raw', readonly: false },
  },
]);
const counters = (): Record<string, number> => {
  const cpu = new CpuState(machine.memory, machine.core.domain_cpu(guest.domid, 0) >>> 0);
  const [hypercalls, halts] = [crashFields.hypercalls, crashFields.exitsHlt].map((field) => Number(cpu.u64(field)));
  const { retired, entries } = machine.translation;
  return { instructions: Number(cpu.retired), 'in regions': retired, 'regions entered': entries, hypercalls: hypercalls!, halts: halts! }; // prettier-ignore
};
const threads = new ThreadTimes(Number(/seconds=([\d.]+)/.exec(cmdline)?.[1] ?? 1), counters);
const write = (bytes: Uint8Array): void => {
  process.stdout.write(bytes);
  threads.heard(bytes);
  profile?.heard(bytes);
};
const guest = host.create({ name: 'bench', plan, memoryKib: memory / 1024, vcpus: 1, console: { write }, disks });
await host.run(() => guest.outcome !== null);
while (host.pump());
await profile?.end();
guest.destroy();
await host.stop();
