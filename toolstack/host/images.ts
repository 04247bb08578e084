// From the files that a configuration names to a plan of the domain.
import { BadImage, buildDomain, type Plan } from '../../services/domain_builder/protocol/index.ts';
import type { DomainConfig } from '../config/domain.ts';
import { ERROR, Refused } from '../control/refused.ts';
import { readInput, Unreadable } from '../files.ts';
import { elfImage } from '../kernel.ts';

/** Buffers of at least this size are a kernel's or an initrd's, not shared with others by Node's pool. */
const LARGE = 1 << 20;

export function loadPlan(config: DomainConfig): Plan {
  try {
    const kernel = elfImage(readInput('kernel', config.kernel));
    const initrd = config.ramdisk === undefined ? undefined : readInput('ramdisk', config.ramdisk);
    return buildDomain({
      kernel,
      initrd,
      cmdline: config.cmdline,
      memory: config.memory * 1024,
      vcpus: config.maxVcpus,
    });
  } catch (error) {
    if (error instanceof Unreadable) throw new Refused(error.message, ERROR.FAIL);
    if (!(error instanceof BadImage)) throw error;
    const files = `kernel: ${config.kernel}${config.ramdisk === undefined ? '' : `, ramdisk: ${config.ramdisk}`}`;
    throw new Refused(`${error.message} (${files})`, ERROR.FAIL);
  }
}

/** Bytes of machine memory that the domain's RAM and special pages take. */
export const planSize = (plan: Plan): number => [...plan.ram, ...plan.extra].reduce((sum, r) => sum + r.size, 0);

/** Gives the images' memory back at once: an unpacked kernel is larger than all else in this process. */
export function releasePlan(plan: Plan): void {
  const buffers = new Set(plan.writes.map(({ bytes }) => bytes.buffer));
  for (const buffer of buffers) if (buffer instanceof ArrayBuffer && buffer.byteLength >= LARGE) buffer.transfer(0);
}
