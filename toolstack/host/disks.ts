// A domain's disks: opened before it is made, given to it and taken from it while it runs, and what a change of CDs is.
import { statSync } from 'node:fs';
import type { Attachment, DiskFacts, DiskOptions, OpenDisk } from '../../services/xenops/disks.ts';
import { OrderError } from '../../services/lib/supervisor.ts';
import { checkDisks, isDisk, vdevNumber, type DiskConfig } from '../config/disk.ts';
import { ConfigError } from '../config/syntax.ts';
import { ERROR, Refused } from '../control/refused.ts';
import type { DomainConfig } from '../config/domain.ts';
import type { Creation, Domain, Domains } from './domains.ts';
import { bootFiles } from './images.ts';

/** What libxl gives a guest to let go of a device. */
const DETACH_MS = 10_000;
const SECTOR_SIZE = 512;

/** Undefined: there is nothing for the guest to see, as in an empty drive. */
function optionsOf(disk: DiskConfig): DiskOptions | undefined {
  const { target, format, vdev, number, readonly, cdrom, discard, within } = disk;
  if (target === null) return undefined;
  const { sectorSize = SECTOR_SIZE, iops = 0, bps = 0, waitsForRoom } = disk;
  return {
    ...{ vdev, number, image: { path: target, format, readonly, within }, cdrom, discard, sectorSize },
    ...(iops + bps > 0 && { limits: { iops, bps } }),
    ...(waitsForRoom && { whenFull: 'wait' }),
  };
}

/** The boot loader reads a folder, too; that is no disk for the guest. */
const isFolder = ({ target }: DiskConfig): boolean =>
  target !== null && (statSync(target, { throwIfNoEntry: false })?.isDirectory() ?? false);

/** Opens them all, or none: refused with a sentence. `booted`: a boot loader has read the first one. */
async function openDisks(domains: Domains, disks: readonly DiskConfig[], booted: boolean): Promise<OpenDisk[]> {
  const opened: OpenDisk[] = [];
  try {
    for (const [i, disk] of disks.entries()) {
      const options = booted && i === 0 && isFolder(disk) ? undefined : optionsOf(disk);
      if (options) opened.push(...(await open(domains, options)));
    }
    return opened;
  } catch (error) {
    await domains.host.disks.release(opened);
    throw error;
  }
}

async function open(domains: Domains, options: DiskOptions): Promise<OpenDisk[]> {
  try {
    return await domains.host.disks.open([options]);
  } catch (error) {
    if (!(error instanceof OrderError)) throw error;
    throw new Refused(`disk ${options.vdev}: ${options.image.path}: ${error.message}`, ERROR.FAIL);
  }
}

/** A domain with its configuration's disks. */
export async function createWithDisks(domains: Domains, config: DomainConfig, creation: Creation): Promise<Domain> {
  // The boot loader reads the image under a lock, which a domain that has just ended may have still.
  if (config.bootloader) await domains.host.disks.settled();
  const booted = await bootFiles(config);
  const disks = await openDisks(domains, config.disks, booted !== undefined);
  try {
    return domains.create(config, { ...creation, disks, booted });
  } catch (error) {
    await domains.host.disks.release(disks);
    throw error;
  }
}

function numberOf(vdev: string): number {
  const number = vdevNumber(vdev);
  if (number === undefined) throw new Refused(`'${vdev}' is no virtual device.`, ERROR.INVAL);
  return number;
}

export function checkedDisk(given: unknown): DiskConfig {
  if (isDisk(given)) return given;
  throw new Refused('The disk is not one that this version of xl describes.', ERROR.INVAL);
}

export async function attachDisk(domains: Domains, domid: number, disk: DiskConfig): Promise<void> {
  const { config } = domains.find(domid);
  try {
    checkDisks([...config.disks, disk]);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new Refused(
      `domain ${domid} has a ${disk.vdev} already: detach it first, or give another vdev.`,
      ERROR.INVAL,
    );
  }
  const options = optionsOf(disk);
  const opened = options ? await open(domains, options) : [];
  const domain = domains.peek(domid);
  if (!domain || domain.ended !== undefined) {
    await domains.host.disks.release(opened);
    throw new Refused(`Domain ${domid} has ended meanwhile.`, ERROR.DOMAIN_NOTFOUND);
  }
  for (const one of opened) domains.host.disks.attach(domid, one, attachmentTo(domain));
  keep(domains, domain, [...domain.config.disks, disk]);
}

const attachmentTo = ({ guest }: Domain): Attachment => ({ bootable: false, guest: guest.description });

function keep(domains: Domains, domain: Domain, disks: DiskConfig[]): void {
  domain.config = { ...domain.config, disks };
  domains.keep(domain);
}

function configured(domain: Domain, vdev: string): DiskConfig {
  const number = numberOf(vdev);
  const disk = domain.config.disks.find((each) => each.number === number);
  if (!disk) throw new Refused(`domain ${domain.domid} has no ${vdev}.`, ERROR.INVAL);
  return disk;
}

async function takeAway(domains: Domains, domid: number, disk: DiskConfig, force: boolean): Promise<void> {
  const ms = force ? 0 : DETACH_MS;
  if (await domains.host.disks.detach(domid, disk.number, { ms, force })) return;
  throw new Refused(
    `the guest has not let go of ${disk.vdev} within ${DETACH_MS / 1000} seconds: unmount it there; \`xl block-detach -f\` takes it all the same.`,
    ERROR.FAIL,
  );
}

export async function detachDisk(domains: Domains, domid: number, vdev: string, force: boolean): Promise<void> {
  const disk = configured(domains.find(domid), vdev);
  await takeAway(domains, domid, disk, force);
  const domain = domains.peek(domid);
  if (domain) keep(domains, domain, domain.config.disks.filter((each) => each.number !== disk.number)); // prettier-ignore
}

/** Another medium, or none (null). A front end knows no change of media: the device goes, and comes back with the new one. */
export async function changeCd(
  domains: Domains,
  domid: number,
  vdev: string,
  target: DiskConfig | null,
): Promise<void> {
  const domain = domains.find(domid);
  const drive = configured(domain, vdev);
  if (!drive.cdrom) throw new Refused(`${vdev} of domain ${domid} is no CD drive.`, ERROR.INVAL);
  if (target && domains.host.disks.find(domid, drive.number)?.image.path === target.target) return;
  const fresh: DiskConfig = { ...drive, target: target?.target ?? null, format: target?.format ?? 'raw' };
  const options = optionsOf(fresh);
  const opened = options ? await open(domains, options) : [];
  try {
    await takeAway(domains, domid, drive, false);
  } catch (error) {
    await domains.host.disks.release(opened);
    throw error;
  }
  const now = domains.find(domid);
  for (const one of opened) domains.host.disks.attach(domid, one, attachmentTo(now));
  keep(domains, now, now.config.disks.map((each) => (each.number === drive.number ? fresh : each))); // prettier-ignore
}

export function listDisks(domains: Domains, domid: number): DiskFacts[] {
  domains.find(domid);
  return domains.host.disks.list(domid);
}

/** A disk grows while the guest runs, and the guest is told. Smaller it does not get: what lies behind would be gone. */
export async function resizeDisk(domains: Domains, domid: number, vdev: string, size: number): Promise<number> {
  const { disks } = domains.host;
  const disk = configured(domains.find(domid), vdev);
  const now = disks.size(domid, disk.number);
  if (now === undefined) throw new Refused(`${disk.vdev} of domain ${domid} has no medium.`, ERROR.INVAL);
  if (disk.readonly) throw new Refused(`${disk.vdev} of domain ${domid} is read-only.`, ERROR.INVAL);
  const unit = disk.sectorSize ?? SECTOR_SIZE;
  if (!Number.isSafeInteger(size) || size % unit !== 0)
    throw new Refused(`a size of ${disk.vdev} is a multiple of ${unit} bytes, not ${size}.`, ERROR.INVAL);
  if (size < now)
    throw new Refused(`${disk.vdev} of domain ${domid} has ${now} bytes: it can only grow while a guest has it.`, ERROR.INVAL); // prettier-ignore
  try {
    await disks.resize(domid, disk.number, size);
  } catch (error) {
    if (!(error instanceof OrderError)) throw error;
    throw new Refused(`disk ${disk.vdev}: ${disk.target}: ${error.message}`, ERROR.FAIL);
  }
  return size;
}
