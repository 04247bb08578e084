/**
 * The domain builder: from a kernel, an initrd and a command line to a plan of what a new PVH domain's memory and first
 * vCPU must hold. Pure: whoever creates the domain carries the plan out. Memory the plan does not write must be zero.
 */
import {
  HVM_PARAM_BUFIOREQ_PFN,
  HVM_PARAM_CONSOLE_PFN,
  HVM_PARAM_IDENT_PT,
  HVM_PARAM_IOREQ_PFN,
  HVM_PARAM_MONITOR_RING_PFN,
  HVM_PARAM_PAGING_RING_PFN,
  HVM_PARAM_SHARING_RING_PFN,
  HVM_PARAM_STORE_PFN,
  XENFEAT_linux_rsdp_unrestricted,
  XEN_ELFNOTE_FEATURES,
  XEN_ELFNOTE_PHYS32_ENTRY,
  XEN_ELFNOTE_SUPPORTED_FEATURES,
  XEN_ELFNOTE_XEN_VERSION,
} from '../../../spec/abi/constants.ts';
import { acpiTables } from './acpi.ts';
import { BadImage, PAGE, Window, alignUp, hex, zeros } from './bytes.ts';
import { extractElf } from './bzimage.ts';
import { EM_386, EM_X86_64, parseElf } from './elf.ts';
import type { Elf } from './elf.ts';
import { ACPI_INFO, ACPI_TABLES, SPECIAL_PAGES, addressSpace } from './memory_map.ts';
import type { AddressSpace, Range, SpecialPages } from './memory_map.ts';
import { startInfo } from './start_info.ts';

export interface DomainConfig {
  /** ELF image or bzImage */
  readonly kernel: Uint8Array;
  readonly initrd?: Uint8Array | undefined;
  readonly cmdline: string;
  /** RAM in bytes, a whole number of pages */
  readonly memory: number;
  readonly vcpus?: number;
}

export interface Write {
  readonly gpa: number;
  readonly bytes: Uint8Array;
}

/** State of a vCPU at a PVH entry (Xen's docs/misc/pvh); what is not named is as after reset or zero. */
export interface PvhContext {
  readonly rip: number;
  readonly rbx: number;
  readonly cr0: number;
  readonly cr4: number;
  readonly rflags: number;
  readonly dr6: number;
  readonly dr7: number;
  readonly cs: SegmentState;
  readonly data: SegmentState;
  readonly tr: SegmentState;
  readonly mtrrDefType: number;
}

export interface SegmentState {
  readonly base: number;
  readonly limit: number;
  /** Attributes as in Xen's context records: descriptor bits 40-47 and 52-55. */
  readonly attributes: number;
}

export interface PvhPlan extends AddressSpace {
  readonly type: 'pvh';
  /** Bytes of machine memory that the domain takes: RAM and special pages. */
  readonly size: number;
  /** Guest physical address of the first instruction. */
  readonly entry: number;
  readonly startInfo: number;
  readonly writes: readonly Write[];
  readonly specialPages: SpecialPages;
  /** HVM parameters by index that name the special pages. */
  readonly hvmParams: ReadonlyMap<number, number>;
  readonly vcpu: PvhContext;
}

/** With this feature the guest finds the RSDP by the start info alone. */
const RSDP_ANYWHERE = { bit: XENFEAT_linux_rsdp_unrestricted, name: 'linux_rsdp_unrestricted' };
/** Where kernels without that feature search for the RSDP. */
const RSDP_LOW = 0xfffc0;
const LOW_END = 0x100000;
/** The HVM parameter that names each special page. */
const PAGE_PARAMS: readonly [number, keyof SpecialPages][] = [
  [HVM_PARAM_STORE_PFN, 'xenstore'],
  [HVM_PARAM_IOREQ_PFN, 'ioreq'],
  [HVM_PARAM_BUFIOREQ_PFN, 'bufioreq'],
  [HVM_PARAM_IDENT_PT, 'identPt'],
  [HVM_PARAM_CONSOLE_PFN, 'console'],
  [HVM_PARAM_PAGING_RING_PFN, 'paging'],
  [HVM_PARAM_MONITOR_RING_PFN, 'access'],
  [HVM_PARAM_SHARING_RING_PFN, 'sharing'],
];
const MAX_VCPUS = 128;
const MAX_CMDLINE = 4096;

const MIB = (bytes: number): string => `${(bytes / (1 << 20)).toFixed(1)} MiB`;

export function buildPvh(config: DomainConfig): PvhPlan {
  const vcpus = config.vcpus ?? 1;
  if (!Number.isInteger(vcpus) || vcpus < 1 || vcpus > MAX_VCPUS)
    throw new BadImage(`${vcpus} vCPUs are not possible; give 1 to ${MAX_VCPUS}.`);
  if (Buffer.byteLength(config.cmdline) > MAX_CMDLINE)
    throw new BadImage(`the command line is longer than ${MAX_CMDLINE} bytes.`);
  if (config.cmdline.includes('\0')) throw new BadImage('the command line contains a zero byte.');

  const acpi = acpiTables(vcpus, ACPI_TABLES);
  const acpiSize = alignUp(PAGE + acpi.tables.length + acpi.rsdp.length, PAGE);
  const space = addressSpace(config.memory, acpiSize);
  const image = extractElf(config.kernel);
  const elf = parseElf(image);
  const entry = entryPoint(elf);
  const low = space.ram[0]!.size;
  const kernel = kernelRange(elf, low);

  const initrd = config.initrd && { gpa: 0, size: config.initrd.length };
  if (initrd?.size === 0) throw new BadImage('the initrd is empty; leave it out or give another one.');
  const infoAt = alignUp(kernel.gpa + kernel.size, PAGE);
  const describe = { cmdline: config.cmdline, memmap: space.memmap };
  const infoSize = startInfo({ ...describe, rsdp: 0, modules: initrd ? [initrd] : [] }, infoAt).length;
  const initrdAt = alignUp(infoAt + infoSize, PAGE);
  const end = initrdAt + (initrd?.size ?? 0);
  if (end > low) {
    const what = initrd ? `the kernel (to ${hex(infoAt)}) and the initrd (${MIB(initrd.size)})` : 'the kernel';
    throw new BadImage(
      `${what} do not fit into ${MIB(low)} of low memory; give at least ${Math.ceil(end / (1 << 20))} MiB.`,
    );
  }
  // Who is loaded below 1 MiB keeps its memory whole: it gets the RSDP by the start info.
  const lowIsFree = kernel.gpa >= LOW_END || end <= RSDP_LOW;
  const rsdp = lowIsFree && !findsRsdpAnywhere(elf) ? RSDP_LOW : ACPI_TABLES + acpi.tables.length;
  const modules: Range[] = initrd ? [{ gpa: initrdAt, size: initrd.size }] : [];

  const writes: Write[] = elf.segments.map((segment) => ({
    gpa: segment.gpa,
    bytes: image.subarray(segment.fileOffset, segment.fileOffset + segment.fileSize),
  }));
  writes.push({ gpa: infoAt, bytes: startInfo({ ...describe, rsdp, modules }, infoAt) });
  if (config.initrd) writes.push({ gpa: initrdAt, bytes: config.initrd });
  writes.push(
    { gpa: ACPI_INFO, bytes: zeros(PAGE) },
    { gpa: ACPI_TABLES, bytes: acpi.tables },
    { gpa: rsdp, bytes: acpi.rsdp },
  );

  return {
    ...space,
    type: 'pvh',
    size: [...space.ram, ...space.extra].reduce((sum, range) => sum + range.size, 0),
    entry,
    startInfo: infoAt,
    writes: writes.filter((write) => write.bytes.length > 0),
    specialPages: SPECIAL_PAGES,
    hvmParams: new Map(PAGE_PARAMS.map(([index, name]) => [index, SPECIAL_PAGES[name]])),
    vcpu: pvhContext(entry, infoAt),
  };
}

function entryPoint(elf: Elf): number {
  if (elf.machine !== EM_386 && elf.machine !== EM_X86_64)
    throw new BadImage(`the kernel is built for ELF machine ${elf.machine}; an x86 kernel is needed.`);
  const note = xenNote(elf, XEN_ELFNOTE_PHYS32_ENTRY);
  if (!note) {
    const forPv = elf.guestInfo !== undefined || xenNote(elf, XEN_ELFNOTE_XEN_VERSION) !== undefined;
    throw new BadImage(
      forPv
        ? 'the kernel is for PV domains only: it has no PVH entry note (XEN_ELFNOTE_PHYS32_ENTRY); set type="pv".'
        : 'the kernel has no PVH entry note (XEN_ELFNOTE_PHYS32_ENTRY); build it with CONFIG_PVH=y.',
    );
  }
  const desc = new Window(note.desc, 'the PVH entry note');
  const entry = note.desc.length === 8 ? desc.u64(0) : desc.u32(0);
  const inside = elf.segments.some(({ gpa, memSize }) => entry >= gpa && entry < gpa + memSize);
  if (!inside)
    throw new BadImage(`the PVH entry ${hex(entry)} lies outside the kernel's segments; fetch the file again.`);
  return entry;
}

const xenNote = (elf: Elf, type: number) => elf.notes.find((note) => note.name === 'Xen' && note.type === type);

function findsRsdpAnywhere(elf: Elf): boolean {
  const mask = xenNote(elf, XEN_ELFNOTE_SUPPORTED_FEATURES)?.desc;
  if (mask && mask.length >= 4) return ((new Window(mask, 'a note').u32(0) >>> RSDP_ANYWHERE.bit) & 1) === 1;
  const names = xenNote(elf, XEN_ELFNOTE_FEATURES)?.desc;
  return names !== undefined && Buffer.from(names).toString('latin1').split(/[|\0]/).includes(RSDP_ANYWHERE.name);
}

/** The memory the kernel's segments take, checked against low RAM. Some begin at 0 (Mini-OS makes its page of zeros of the first one). */
function kernelRange(elf: Elf, low: number): Range {
  const gpa = Math.min(...elf.segments.map((segment) => segment.gpa));
  const end = Math.max(...elf.segments.map((segment) => segment.gpa + segment.memSize));
  if (end > low)
    throw new BadImage(
      `the kernel needs memory up to ${MIB(end)}, the domain has ${MIB(low)} of low memory; give more.`,
    );
  return { gpa, size: end - gpa };
}

/** 32-bit protected mode, flat segments, paging off, interrupts off; EBX points to the start info. */
function pvhContext(entry: number, info: number): PvhContext {
  const flat = (attributes: number): SegmentState => ({ base: 0, limit: 0xffffffff, attributes });
  return {
    rip: entry,
    rbx: info,
    cr0: 0x11, // PE, ET
    cr4: 0,
    rflags: 2,
    dr6: 0xffff0ff0,
    dr7: 0x400,
    cs: flat(0xc9b),
    data: flat(0xc93),
    tr: { base: 0, limit: 0x67, attributes: 0x8b },
    mtrrDefType: 0x806, // enabled, write-back
  };
}
