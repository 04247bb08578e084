// From the files that a configuration names to a plan of the domain.
import { statSync } from 'node:fs';
import { ImageError } from '../../services/block/image/image.ts';
import { open_image } from '../../services/block/image/open.ts';
import { bootFrom, bootFromImage } from '../../services/bootloader/backend/sources.ts';
import type { Booted, BootOptions } from '../../services/bootloader/protocol/boot.ts';
import { BootError } from '../../services/bootloader/protocol/disk.ts';
import { BadImage, buildDomain, guestType, type Plan } from '../../services/domain_builder/protocol/index.ts';
import { bootloaderOptions, type Bootloader } from '../config/bootloader.ts';
import type { DiskConfig } from '../config/disk.ts';
import type { DomainConfig } from '../config/domain.ts';
import { ERROR, Refused } from '../control/refused.ts';
import { codeOf, readInput, Unreadable, WHY } from '../files.ts';
import { elfImage, prepareKernel } from '../kernel.ts';

/** Buffers of at least this size are a kernel's or an initrd's, not shared with others by Node's pool. */
const LARGE = 1 << 20;

/** A plan, and where its parts came from. */
export interface Loaded extends Sources {
  readonly plan: Plan;
}

interface Sources {
  readonly kernel: string;
  readonly ramdisk: string | undefined;
  readonly cmdline: string;
}

/** What a domain is built from. */
export interface Files extends Sources {
  readonly kernelFile: Uint8Array;
  readonly ramdiskFile: Uint8Array | undefined;
}

/** Does what takes long of `loadPlan`, where it holds up nobody. What a boot loader reads comes later, from `bootFiles`. */
export async function prepare(config: DomainConfig): Promise<void> {
  if (config.bootloader) return;
  try {
    await prepareKernel(filesOf(config, false).kernelFile);
  } catch (error) {
    // loadPlan tells of it.
    if (!(error instanceof Unreadable)) throw error;
  }
}

/** What the boot loader finds, if there is one: read before the guest's disks are opened for it. */
export async function bootFiles(config: DomainConfig): Promise<Files | undefined> {
  if (!config.bootloader) return undefined;
  try {
    const files = await loaded(config.bootloader, config);
    await prepareKernel(files.kernelFile);
    return files;
  } catch (error) {
    if (error instanceof Unreadable) throw new Refused(error.message, ERROR.FAIL);
    throw error;
  }
}

/** `booted`: what `bootFiles` has found. */
export function loadPlan(config: DomainConfig, booted?: Files): Loaded {
  let what = '';
  try {
    const { kernelFile, ramdiskFile, ...sources } = booted ?? filesOf(config, true);
    const { kernel, ramdisk, cmdline } = sources;
    what = `kernel: ${kernel}${ramdisk === undefined ? '' : `, ramdisk: ${ramdisk}`}`;
    const image = elfImage(kernelFile);
    const plan = buildDomain({
      type: config.type ?? guestType(image),
      kernel: image,
      initrd: ramdiskFile,
      cmdline,
      memory: config.memory * 1024,
      vcpus: config.maxVcpus,
    });
    return { plan, ...sources };
  } catch (error) {
    if (error instanceof Unreadable) throw new Refused(error.message, ERROR.FAIL);
    if (!(error instanceof BadImage)) throw error;
    throw new Refused(`${error.message} (${what})`, ERROR.FAIL);
  }
}

function filesOf(config: DomainConfig, withRamdisk: boolean): Files {
  const { kernel = '', ramdisk, cmdline } = config;
  for (const path of [kernel, ramdisk]) if (path !== undefined) checkRegular(path);
  return {
    ...{ kernel, ramdisk, cmdline },
    kernelFile: readInput('kernel', kernel),
    ramdiskFile: ramdisk === undefined || !withRamdisk ? undefined : readInput('ramdisk', ramdisk),
  };
}

/** What the boot loader finds on the guest's disk; the configuration's own words come behind or instead. */
async function loaded({ name, args, source }: Bootloader, config: DomainConfig): Promise<Files> {
  const { kernel, ramdisk, cmdline, disks } = config;
  const own = bootloaderOptions(args);
  const options = { kernel, ramdisk, ...own, args: [own.args, cmdline].filter(Boolean).join(' ') };
  try {
    checkRegular(source);
    const disk = disks.find(({ target }) => target === source);
    const packed = disk !== undefined && disk.format !== 'raw';
    const booted = packed ? await fromImage(source, disk, options) : bootFrom(source, options);
    return {
      ...{ kernel: booted.kernelPath, ramdisk: booted.ramdiskPath, cmdline: booted.args },
      ...{ kernelFile: booted.kernel, ramdiskFile: booted.ramdisk },
    };
  } catch (error) {
    if (error instanceof Unreadable) throw error;
    const told = error instanceof BootError || error instanceof ImageError;
    const why = told ? error.message : WHY[codeOf(error)];
    if (why === undefined) throw error;
    throw new Unreadable(`${name} finds nothing to boot on ${source}: ${why.replace(/\.$/, '')}.`);
  }
}

async function fromImage(path: string, { format, within }: DiskConfig, options: BootOptions): Promise<Booted> {
  const backing = within === undefined ? 'follow' : { within };
  const image = await open_image(path, { format, readonly: true, backing });
  try {
    return await bootFromImage(image, options);
  } finally {
    await image.close();
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
