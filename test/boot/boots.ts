// Many boots in one process: what one leaves behind, the next would have to do without.
import assert from 'node:assert/strict';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { loadCore } from '../../platform/core.ts';
import { Machine } from '../../platform/machine.ts';
import { buildDomain, type GuestType } from '../../services/domain_builder/protocol/index.ts';
import { Host } from '../../services/xenops/host.ts';

const MIB = 1 << 20;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

export interface Boot {
  /** free frames of the host after the guest has gone */
  free: number;
  /** resident bytes after a garbage collection */
  resident: number;
  output: string;
}

interface Guest {
  type?: GuestType;
  /** an ELF image: unpacking a kernel is no part of this */
  kernel: Uint8Array;
  initrd?: Uint8Array;
  cmdline: string;
  /** MiB */
  memory: number;
}

/** Boots the guest `count` times on one host, each time to its power-off. */
export async function boots(guest: Guest, count: number): Promise<Boot[]> {
  const machine = new Machine({ memory: (guest.memory + 8) * MIB }, loadCore());
  const host = new Host(machine);
  let failure: Error | undefined;
  machine.onFailure((error) => (failure = error));
  const list: Boot[] = [];
  try {
    for (let i = 0; i < count; i++) {
      const plan = buildDomain({ ...guest, memory: guest.memory * MIB });
      let output = '';
      const console = { write: (bytes: Uint8Array): void => void (output += Buffer.from(bytes).toString('latin1')) };
      const one = host.create({ name: 'again', plan, memoryKib: guest.memory * 1024, vcpus: 1, console });
      await host.run(() => failure !== undefined || one.outcome !== null, AbortSignal.timeout(120_000));
      while (host.pump());
      assert.ifError(failure);
      assert.equal(one.outcome, 'poweroff', output.slice(-400));
      one.destroy();
      collect();
      list.push({ free: machine.core.frames_free(), resident: process.memoryUsage().rss, output });
    }
    return list;
  } finally {
    await host.stop();
  }
}

/**
 * The same frames are free after each boot. Resident memory stays level but for `growth`: the first boots touch memory and
 * compile, and the cache of decoded code fills up to its fixed size.
 */
export function assertLevel(list: readonly Boot[], warm: number, growth: number): void {
  assert.deepEqual(
    list.map(({ free }) => free),
    list.map(() => list[0].free),
  );
  const [from, to] = [list[warm - 1].resident, list.at(-1)!.resident];
  assert.ok(
    to - from < growth,
    `${((to - from) / MIB).toFixed(1)} MiB more after ${list.length} boots than after ${warm}`,
  );
}
