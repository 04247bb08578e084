// What is said of an image without opening what is behind it.
import { checkQcow2, repairRefcounts } from './qcow2/layout.ts';
import type { Header } from './qcow2/header.ts';
import { INCOMPATIBLE } from './qcow2/header.ts';
import { Qcow2Image } from './qcow2/qcow2.ts';
import { readSnapshots } from './qcow2/snapshots.ts';
import { image_error, type HostFile } from './file.ts';
import { ImageError, SECTOR, type Format, type Snapshot } from './image.ts';
import { open_locked } from './lock.ts';
import { VhdImage } from './vhd/vhd.ts';

export interface ImageInfo {
  format: Format;
  /** of the disk, in bytes */
  size: number;
  /** that its file takes on the host */
  allocated: number;
  cluster_size?: number;
  /** qcow2's version, VHD's kind */
  variant?: string;
  backing?: string;
  backing_format?: string;
  /** it was not closed */
  dirty?: boolean;
  corrupt?: boolean;
  refcount_bits?: number;
  compression?: string;
  snapshots?: Snapshot[];
}

interface Look {
  format: Format;
  lock?: boolean;
}

async function withFile<T>(
  path: string,
  how: { readonly: boolean; lock: boolean },
  work: (file: HostFile) => Promise<T>,
) {
  const file = await open_locked(path, how);
  try {
    return await work(file);
  } catch (error) {
    throw image_error(error, path, 'reading');
  } finally {
    await file.close();
  }
}

export function image_info(path: string, { format, lock = true }: Look): Promise<ImageInfo> {
  return withFile(path, { readonly: true, lock }, async (file) => {
    const allocated = file.isDevice ? file.size : file.stat.blocks * 512;
    if (format === 'raw') return { format, size: Math.ceil(file.size / SECTOR) * SECTOR, allocated };
    if (format === 'qcow2') return { allocated, ...(await qcow2Info(file, await Qcow2Image.header(file))) };
    const image = await VhdImage.open(file, { readonly: true });
    const parent = await VhdImage.parent(file);
    return {
      ...{ format, size: image.size, allocated, cluster_size: image.cluster_size, variant: image.kind },
      ...(parent ? { backing: parent.paths[0] ?? '(unnamed)', backing_format: 'vhd' } : {}),
    };
  });
}

async function qcow2Info(file: HostFile, header: Header): Promise<Omit<ImageInfo, 'allocated'>> {
  const { backing, backingFormat, incompatible } = header;
  return {
    ...{ format: 'qcow2', size: header.size - (header.size % SECTOR), cluster_size: 2 ** header.clusterBits },
    ...{ variant: header.version === 2 ? '0.10' : '1.1', refcount_bits: 2 ** header.refcountOrder },
    compression: header.compression,
    ...(backing === undefined ? {} : { backing }),
    ...(backingFormat === undefined ? {} : { backing_format: backingFormat }),
    dirty: (incompatible & INCOMPATIBLE.dirty) !== 0,
    corrupt: (incompatible & INCOMPATIBLE.corrupt) !== 0,
    snapshots: (await readSnapshots(file, header)).map(({ snapshot }) => snapshot),
  };
}

export interface CheckResult {
  /** what is wrong, in words; at most some of `error_count` */
  errors: string[];
  error_count: number;
  /** clusters that are taken and not used */
  leaks: number;
  /** it was not closed */
  dirty: boolean;
  clusters: number;
  allocated: number;
  compressed: number;
  /** refcounts were written anew before the result was found */
  repaired: boolean;
}

/** Looks through all tables. `repair`: refcounts are set right first; tables that are damaged otherwise are not touched. */
export function check_image(path: string, options: Look & { repair?: boolean }): Promise<CheckResult> {
  const { format, repair = false, lock = true } = options;
  if (format === 'raw') throw new ImageError('unsupported', 'a raw image has nothing to be checked.', { path });
  return withFile(path, { readonly: !repair, lock: lock || repair }, async (file) => {
    if (format === 'vhd') {
      if (repair) throw new ImageError('unsupported', 'VHD images are checked only; convert it to a new image.');
      return { ...(await VhdImage.check(file)), repaired: false };
    }
    const header = await Qcow2Image.header(file);
    const before = await checkQcow2(file, header);
    const wrong = before.leaks > 0 || before.errorCount > 0 || before.dirty;
    if (repair && wrong) await repairRefcounts(file, header);
    const { errors, errorCount, leaks, dirty, clusters, allocated, compressed } =
      repair && wrong ? await checkQcow2(file, header) : before;
    return {
      errors,
      error_count: errorCount,
      leaks,
      dirty,
      clusters,
      allocated,
      compressed,
      repaired: repair && wrong,
    };
  });
}
