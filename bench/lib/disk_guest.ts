// A guest with a disk under Xenolith, its console on stdout. Arguments: kernel, initrd, image, command line, memory in MiB.
import '../../bin/parent.cjs';
import { readFileSync } from 'node:fs';
import { loadCore } from '../../platform/core.ts';
import { Machine } from '../../platform/machine.ts';
import { buildDomain } from '../../services/domain_builder/protocol/index.ts';
import { Host } from '../../services/xenops/host.ts';
import { elfImage } from '../../toolstack/kernel.ts';

const [kernel, initrd, path, cmdline, mib] = process.argv.slice(2) as [string, string, string, string, string];
const memory = Number(mib) << 20;
const plan = buildDomain({
  type: 'pvh',
  kernel: elfImage(readFileSync(kernel)),
  initrd: readFileSync(initrd),
  cmdline,
  memory,
});
const machine = new Machine({ memory: plan.size + (8 << 20) }, loadCore());
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
const write = (bytes: Uint8Array): void => void process.stdout.write(bytes);
const guest = host.create({ name: 'bench', plan, memoryKib: memory / 1024, vcpus: 1, console: { write }, disks });
await host.run(() => guest.outcome !== null);
while (host.pump());
guest.destroy();
await host.stop();
