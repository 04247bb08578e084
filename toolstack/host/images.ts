// From the files that a configuration names to a plan of the domain.
import { statSync } from 'node:fs';
import { BadImage, buildDomain, type Plan } from '../../services/domain_builder/protocol/index.ts';
import type { DomainConfig } from '../config/domain.ts';
import { ERROR, Refused } from '../control/refused.ts';
import { readInput, Unreadable } from '../files.ts';
import { elfImage, prepareKernel } from '../kernel.ts';

/** Buffers of at least this size are a kernel's or an initrd's, not shared with others by Node's pool. */
const LARGE = 1 << 20;

/** Does what takes long of `loadPlan`, where it holds up nobody. */
export async function prepare({ kernel }: DomainConfig): Promise<void> {
  try {
    checkRegular(kernel);
    await prepareKernel(readInput('kernel', kernel));
  } catch (error) {
    // loadPlan tells of it.
    if (!(error instanceof Unreadable)) throw error;
  }
}

export function loadPlan(config: DomainConfig): Plan {
  try {
    for (const path of [config.kernel, config.ramdisk]) if (path !== undefined) checkRegular(path);
    const kernel = elfImage(readInput('kernel', config.kernel));
    const initrd = config.ramdisk === undefined ? undefined : readInput('ramdisk', config.ramdisk);
    return buildDomain({
      type: config.type,
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

/** The host must not wait for whoever writes to a pipe. A file that is not there is told of when it is read. */
function checkRegular(path: string): void {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat && !stat.isFile() && !stat.isDirectory())
    throw new Unreadable(`${path}: it is no regular file; copy its contents into one.`);
}

/** Gives the images' memory back at once: an unpacked kernel is larger than all else in this process. */
export function releasePlan(plan: Plan): void {
  const buffers = new Set(plan.writes.map(({ bytes }) => bytes.buffer));
  for (const buffer of buffers) if (buffer instanceof ArrayBuffer && buffer.byteLength >= LARGE) buffer.transfer(0);
}
