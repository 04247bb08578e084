// Debian as a PV guest with one vCPU, whose hypervisor forgets a translation when its entry changes: the invariant walker, which compares what the TLB has with
// the page tables, looks again and again.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { guestImage } from '../../guests/image/index.ts';
import { loadCore } from '../../platform/core.ts';
import { Machine } from '../../platform/machine.ts';
import { buildDomain, extractElf } from '../../services/domain_builder/protocol/index.ts';
import { Host } from '../../services/xenops/host.ts';
import { invariants } from '../invariants.ts';

const MIB = 1 << 20;
const MEMORY = 128;

/** Runs for `turns`, or to its end, with a look at the invariants every so many. What it has written, and how many turns it took. */
export function watchedBoot(turns: number, every: number): { output: string; turn: number } {
  const { kernel, initrd } = guestImage();
  const plan = buildDomain({
    type: 'pv',
    kernel: extractElf(readFileSync(kernel)),
    initrd: readFileSync(initrd),
    cmdline: 'console=hvc0 xenolith.tour',
    memory: MEMORY * MIB,
  });
  const machine = new Machine({ memory: plan.size + 8 * MIB, deterministic: true }, loadCore());
  const host = new Host(machine);
  let output = '';
  const console = { write: (bytes: Uint8Array): void => void (output += Buffer.from(bytes).toString('latin1')) };
  const guest = host.create({ name: 'watched', plan, memoryKib: MEMORY * 1024, vcpus: 1, console });
  let turn = 0;
  for (; turn < turns && guest.outcome === null; turn++) {
    if (!machine.step()) while (host.pump());
    host.pump();
    if (turn % every === 0) assert.equal(invariants(machine.core), null, `turn ${turn}`);
  }
  return { output, turn };
}
