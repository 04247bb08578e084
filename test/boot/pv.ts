// Guests of either kind, side by side, from their first instruction to their end.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { guestImage } from '../../guests/image/index.ts';
import { loadCore } from '../../platform/core.ts';
import { Machine } from '../../platform/machine.ts';
import { buildDomain, type GuestType } from '../../services/domain_builder/protocol/index.ts';
import { Host, type Guest, type Outcome } from '../../services/xenops/host.ts';
import { invariants } from '../invariants.ts';

const MIB = 1 << 20;
export const TOUR = 'console=hvc0 xenolith.tour';

export interface Wanted {
  type: GuestType;
  kernel: string | Uint8Array;
  initrd?: string | Uint8Array | undefined;
  cmdline: string;
  /** MiB */
  memory: number;
  /** Each on a pCPU of its own. */
  vcpus?: number;
  /** Entered when the output matches. */
  typed?: [when: RegExp, text: string];
}

export interface Ran {
  output: string;
  outcome: Outcome | null;
}

/** Runs the guests side by side on one host to the end of all. */
export async function run(...wanted: Wanted[]): Promise<Ran[]> {
  const memory = wanted.reduce((sum, guest) => sum + guest.memory + 8, 8);
  const pcpus = Math.max(...wanted.map(({ vcpus = 1 }) => vcpus));
  const machine = new Machine({ memory: memory * MIB, pcpus }, loadCore());
  const host = new Host(machine);
  let failure: Error | undefined;
  machine.onFailure((error) => (failure = error));
  const stop = AbortSignal.timeout(180_000);
  try {
    const guests = wanted.map((want, i) => {
      const ran = { output: '', guest: undefined as unknown as Guest, typed: want.typed };
      const initrd = typeof want.initrd === 'string' ? readFileSync(want.initrd) : want.initrd;
      const { type, cmdline } = want;
      const plan = buildDomain({
        ...{
          type,
          initrd,
          cmdline,
          kernel: typeof want.kernel === 'string' ? readFileSync(want.kernel) : want.kernel,
          memory: want.memory * MIB,
        },
      });
      const console = { write: (b: Uint8Array): void => void (ran.output += Buffer.from(b).toString('latin1')) };
      ran.guest = host.create({ name: `g${i}`, plan, memoryKib: want.memory * 1024, vcpus: want.vcpus ?? 1, console });
      return ran;
    });
    let looks = 0;
    const done = (): boolean => {
      // Now and then while they run: every page table is as it must be.
      if (++looks % 100 === 0) assert.equal(invariants(machine.core), null);
      for (const ran of guests) {
        if (!ran.typed?.[0].test(ran.output)) continue;
        if (ran.guest.console.onInput(Buffer.from(ran.typed[1])) > 0) ran.typed = undefined;
      }
      return failure !== undefined || guests.every(({ guest }) => guest.outcome !== null);
    };
    await host.run(done, stop);
    while (host.pump());
    assert.ifError(failure);
    const rans = guests.map(({ output, guest }) => ({ output, outcome: guest.outcome }));
    for (const { guest } of guests) guest.destroy();
    assert.equal(invariants(machine.core), null);
    return rans;
  } finally {
    await host.stop();
  }
}

export const debian = (type: GuestType, memory: number): Wanted => ({ type, ...guestImage(), cmdline: TOUR, memory });

export function checkTour({ output, outcome }: Ran, hypervisor: string): void {
  assert.equal(outcome, 'poweroff', output.slice(-2000));
  assert.match(output, new RegExp(`Hypervisor detected: ${hypervisor}`));
  assert.match(output, /# cat \/sys\/hypervisor\/type\s+xen/);
  assert.match(output, /tour: done/);
}
