// Debian's GRUB for PVH (package grub-xen-host): a 32-bit guest with a console, a xenstore client and an idea of time of its own.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { guestImage } from '../../guests/image/index.ts';
import { loadCore } from '../../platform/core.ts';
import { Machine } from '../../platform/machine.ts';
import { buildDomain } from '../../services/domain_builder/protocol/index.ts';
import { Host, type Outcome } from '../../services/xenops/host.ts';
import { invariants } from '../invariants.ts';
import { grubImage } from './grub_image.ts';

const MIB = 1 << 20;
/** The image that the package ships: a prompt where there is no disk to boot from. */
const DEBIANS = '/usr/lib/grub-xen/grub-i386-xen_pvh.bin';

/** Runs an image; `typed` is entered when the prompt is there. */
async function run(
  kernel: Uint8Array,
  memory: number,
  typed = '',
): Promise<{ output: string; outcome: Outcome | null }> {
  const machine = new Machine({ memory: (memory + 8) * MIB }, loadCore());
  const host = new Host(machine);
  let output = '';
  try {
    const plan = buildDomain({ kernel, cmdline: '', memory: memory * MIB });
    const console = { write: (bytes: Uint8Array): void => void (output += Buffer.from(bytes).toString('latin1')) };
    const guest = host.create({ name: 'grub', plan, memoryKib: memory * 1024, vcpus: 1, console });
    let sent = typed === '';
    const step = (): boolean => {
      if (!sent && output.includes('grub>')) sent = guest.console.onInput(Buffer.from(typed)) > 0;
      return guest.outcome !== null;
    };
    await host.run(step, AbortSignal.timeout(120_000));
    while (host.pump());
    const { outcome } = guest;
    guest.destroy();
    assert.equal(invariants(machine.core), null);
    return { output, outcome };
  } finally {
    await host.stop();
  }
}

test("Debian's GRUB image comes to its prompt, lists its devices and halts", async () => {
  const { output, outcome } = await run(readFileSync(DEBIANS), 64, 'ls\rhalt\r');
  assert.match(output, /\(memdisk\)/, output.slice(-2000));
  assert.equal(outcome, 'poweroff');
});

test('GRUB loads a Debian kernel and its initrd from its memory disk; they boot to user land and power off', async () => {
  const { kernel, initrd } = guestImage();
  const config = 'linux (memdisk)/vmlinuz console=hvc0 xenolith.tour\ninitrd (memdisk)/initrd\nboot\n';
  const { output, outcome } = await run(grubImage('i386-xen_pvh', config, { vmlinuz: kernel, initrd }), 384);
  assert.equal(outcome, 'poweroff', output.slice(-2000));
  assert.match(output, /Hypervisor detected: Xen HVM/);
  assert.match(output, /# cat \/sys\/hypervisor\/type\s+xen/);
  assert.match(output, /tour: done/);
});
