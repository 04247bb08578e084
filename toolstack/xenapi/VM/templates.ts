/**
 * Templates of the host: made at a start, made true at each. A disk of a template may have an image to begin with, from a folder of
 * the host; kernels in the folder of kernels have a template each.
 */
import { closeSync, mkdirSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Value } from '../../../spec/xenapi/types.ts';
import type { Row } from '../database/row.ts';
import { timeText } from '../rpc/decode.ts';
import type { Xapi } from '../xapi.ts';
import { updateAllowed } from './operations.ts';

type Values = Record<string, Value>;

const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** Folders that the host's owner fills. */
export interface Images {
  /** Disk images that templates begin with. */
  disks: string;
  /** Kernels that VMs may name. */
  kernels: string;
}

interface Template {
  /** The same at each start. */
  label: string;
  name: string;
  about: string;
  memory: number;
  vcpus?: number;
  disks?: string;
  values: Values;
}

const disk = (size: number, image?: string): string =>
  `<provision><disk device="0" size="${size}" sr="" bootable="true" type="system"${image === undefined ? '' : ` image="${image}"`}/></provision>`; // prettier-ignore

/** What a Debian VM's disk begins with, in the folder of disk images. */
export const DEBIAN_IMAGE = 'debian-12.qcow2';

const FIXED: readonly Template[] = [
  {
    ...{ label: 'debian-12', name: 'Debian 12', memory: 512 * MIB },
    about: `Debian 12 (bookworm), 64-bit, from the host's image ${DEBIAN_IMAGE}; it boots the kernel on its disk`,
    disks: disk(8 * GIB, DEBIAN_IMAGE),
    values: { domain_type: 'pvh', PV_bootloader: 'pygrub' },
  },
  {
    ...{ label: 'own-kernel', name: 'Linux with its own kernel', memory: 512 * MIB },
    about: 'For disks with a Linux whose kernel GRUB or extlinux would boot; give it such a disk as its first',
    values: { domain_type: 'pvh', PV_bootloader: 'pygrub' },
  },
  {
    ...{ label: 'other-install-media', name: 'Other install media', memory: 256 * MIB },
    about: 'For systems that need hardware virtualization; give it a disk, and a disc to install from',
    values: { domain_type: 'hvm', HVM_boot_policy: 'BIOS order', HVM_boot_params: { order: 'dc' } },
  },
];

/** Whatever begins like this is a kernel: an ELF file, or Linux's bzImage. */
function isKernel(path: string): boolean {
  try {
    if (!statSync(path).isFile()) return false;
    const fd = openSync(path, 'r');
    try {
      const head = Buffer.alloc(0x206);
      const length = readSync(fd, head, 0, head.length, 0);
      const elf = head.toString('latin1', 0, 4) === '\x7fELF';
      return elf || (length === head.length && head.toString('latin1', 0x202, 0x206) === 'HdrS');
    } finally {
      closeSync(fd);
    }
  } catch {
    return false;
  }
}

const INITRD = '.initrd';
const MAX_KERNELS = 100;

/** Kernels by name; beside `NAME` may lie its `NAME.initrd`. */
function kernels(folder: string): Template[] {
  let names: string[];
  try {
    names = readdirSync(folder).sort();
  } catch {
    return [];
  }
  const there = new Set(names);
  return names
    .filter((name) => /^[\w.+-]{1,64}$/.test(name) && !name.endsWith(INITRD) && isKernel(join(folder, name)))
    .slice(0, MAX_KERNELS)
    .map((name) => {
      const ramdisk = there.has(`${name}${INITRD}`) ? `${name}${INITRD}` : '';
      return {
        ...{ label: `kernel:${name}`, name: `Kernel ${name}`, memory: (ramdisk === '' ? 32 : 256) * MIB },
        about: `Starts the kernel ${name} of the host${ramdisk === '' ? '' : ' with its initrd'}, without a disk`,
        values: { domain_type: 'pvh', PV_kernel: name, PV_ramdisk: ramdisk, PV_args: 'console=hvc0' },
      };
    });
}

function valuesOf({ label, name, about, memory, vcpus = 1, disks, values }: Template): Values {
  return {
    ...{ name_label: name, name_description: about, reference_label: label },
    ...{ is_a_template: true, is_default_template: true, is_a_snapshot: false, is_control_domain: false },
    ...{
      memory_static_max: memory,
      memory_dynamic_max: memory,
      memory_dynamic_min: memory,
      memory_static_min: 16 * MIB,
    },
    ...{ VCPUs_max: vcpus, VCPUs_at_startup: vcpus },
    ...{ actions_after_shutdown: 'destroy', actions_after_reboot: 'restart', actions_after_crash: 'restart' },
    ...{ power_state: 'Halted', domid: -1, user_version: 1 },
    other_config: { default_template: 'true', ...(disks === undefined ? {} : { disks }) },
    ...values,
  };
}

function make(xapi: Xapi, template: Template): void {
  const { db } = xapi;
  const now = timeText(Date.now());
  const metrics = db.create('VM_metrics', { install_time: now, last_updated: now });
  updateAllowed(xapi, db.create('VM', { ...valuesOf(template), metrics: metrics.ref }));
}

function drop(xapi: Xapi, row: Row): void {
  const metrics = xapi.db.find('VM_metrics', row.text('metrics'));
  if (metrics) xapi.db.destroy(metrics);
  xapi.db.destroy(row);
}

/** What there should be is made, what has lost its kernel goes. One that somebody has changed stays as it is. */
export function makeTemplates(xapi: Xapi, images: Images): void {
  for (const folder of [images.disks, images.kernels]) mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { db } = xapi;
  db.change(() => {
    const wanted = new Map([...FIXED, ...kernels(images.kernels)].map((each) => [each.label, each]));
    for (const row of [...db.table('VM').values()]) {
      if (!row.flag('is_default_template')) continue;
      if (!wanted.delete(row.text('reference_label'))) drop(xapi, row);
    }
    for (const template of wanted.values()) make(xapi, template);
  });
}
