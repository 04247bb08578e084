/** A PV kernel: which kind of guest it is, and where in the domain's address space it wants to be. */
import { BadImage, PAGE, hex } from '../bytes.ts';
import { EM_386, EM_X86_64, type Elf } from '../elf.ts';
import { guestNotes, type GuestNotes } from './notes.ts';
import { symbolTable, type SymbolTable } from './symbols.ts';

export interface Image {
  readonly elf: Elf;
  readonly notes: GuestNotes;
  readonly bits: 32 | 64;
  /** Virtual address of pseudo-physical address 0. */
  readonly virtBase: bigint;
  /** What is to be taken from the file's physical addresses to get pseudo-physical ones. */
  readonly paddrOffset: bigint;
  readonly entry: bigint;
  /** Pseudo-physical. */
  readonly start: number;
  readonly end: number;
  /** Behind the kernel, if it asks for it. */
  readonly symbols: SymbolTable | undefined;
  /** The page that the hypervisor fills with its calls. */
  readonly hypercallPfn: number | undefined;
  /** Where the list of frames is to be seen, undefined: in the image. */
  readonly p2mBase: bigint | undefined;
}

/** The hypervisor's part of the address space; no guest maps anything there. */
const HYPERVISOR = {
  64: { from: 0xffff_8000_0000_0000n, to: 0xffff_8800_0000_0000n },
  32: { from: 0xf580_0000n, to: 1n << 32n },
} as const;
/** 64-bit addresses between these two do not exist. */
const CANONICAL = { low: 1n << 47n, high: 0xffff_8000_0000_0000n };

const fail = (text: string): never => {
  throw new BadImage(text);
};

export function pvImage(elf: Elf): Image {
  const notes = checkNotes(guestNotes(elf));
  const bits = bitsOf(elf, notes);
  const mask = bits === 32 ? (1n << 32n) - 1n : (1n << 64n) - 1n;
  if (notes.paddrOffset !== undefined && notes.virtBase === undefined)
    fail(
      "the kernel's notes contradict each other: there is a PADDR_OFFSET without a VIRT_BASE; build the kernel again.",
    );
  const virtBase = (notes.virtBase ?? 0n) & mask;
  const paddrOffset = notes.paddrOffset ?? (notes.source === 'legacy' ? virtBase : 0n);
  if (virtBase % BigInt(PAGE) !== 0n) fail(`the kernel's VIRT_BASE ${hex(virtBase)} is not the begin of a page.`);

  const lowest = elf.segments.reduce((least, { paddr }) => (paddr < least ? paddr : least), mask);
  const highest = elf.segments.reduce(
    (most, s) => (s.paddr + BigInt(s.memSize) > most ? s.paddr + BigInt(s.memSize) : most),
    0n,
  );
  if (elf.segments.length === 0) fail('the kernel has nothing to load; give an ELF image with loadable segments.');
  if (lowest < paddrOffset)
    fail(
      `the kernel's notes contradict its segments: they begin at ${hex(lowest)}, below PADDR_OFFSET ${hex(paddrOffset)}; build the kernel again.`,
    );
  const start = exact(lowest - paddrOffset, highest);
  if (start % PAGE !== 0) fail(`the kernel begins at ${hex(lowest)}, within a page; it must begin with one.`);
  let end = exact(highest - paddrOffset, highest);
  const symbols = notes.bsdSymtab ? symbolTable(elf, end) : undefined;
  if (symbols) end = symbols.end;
  checkRoom(virtBase + BigInt(start), virtBase + BigInt(end), bits);

  const inside = (address: bigint): boolean => address >= virtBase + BigInt(start) && address < virtBase + BigInt(end);
  const place = `${hex(virtBase + BigInt(start))} to ${hex(virtBase + BigInt(end))}`;
  const entry = notes.entry ?? elf.entry;
  if (!inside(entry))
    fail(`the kernel's entry ${hex(entry)} lies outside of its image (${place}); fetch the file again.`);
  const hypercall = notes.hypercallPage;
  if (hypercall !== undefined && (!inside(hypercall) || hypercall % BigInt(PAGE) !== 0n))
    fail(`the kernel's HYPERCALL_PAGE ${hex(hypercall)} is no page of its image (${place}); build the kernel again.`);
  const hypercallPfn =
    hypercall === undefined ? legacyPage(notes, start, end) : Number((hypercall - virtBase) / BigInt(PAGE));
  return {
    ...{ elf, notes, bits, virtBase, paddrOffset, entry, start, end, symbols, hypercallPfn },
    p2mBase: p2mBase(notes, bits, virtBase),
  };
}

function legacyPage({ hypercallPfn }: GuestNotes, start: number, end: number): number | undefined {
  if (hypercallPfn === undefined) return undefined;
  const at = hypercallPfn * BigInt(PAGE);
  if (at < start || at >= end)
    fail(`the kernel's HYPERCALL_PAGE, page ${hex(hypercallPfn)}, is outside of its image; build the kernel again.`);
  return Number(hypercallPfn);
}

/** A PVH entry, and no PV one. */
export const isForPvh = (notes: GuestNotes | undefined): boolean =>
  notes?.phys32Entry !== undefined && notes.entry === undefined;

/** What a PV kernel must say. */
function checkNotes(notes: GuestNotes | undefined): GuestNotes {
  if (!notes)
    return fail(
      "the kernel has neither Xen's notes nor a __xen_guest section, so it is not made for PV domains; build it with CONFIG_XEN_PV=y or start it another way.",
    );
  if (isForPvh(notes))
    fail(
      'the kernel is for PVH domains only: it has a PVH entry (XEN_ELFNOTE_PHYS32_ENTRY) and no PV one; set type="pvh".',
    );
  const { loader, guestOs, xenVersion } = notes;
  if (!loader?.startsWith('generic') && !guestOs?.startsWith('linux'))
    fail(`the kernel wants the loader '${loader ?? ''}'; kernels for the loader 'generic' can be started.`);
  if (!xenVersion?.startsWith('xen-3.0'))
    fail(`the kernel is made for Xen '${xenVersion ?? ''}'; PV kernels say 'xen-3.0'.`);
  return notes;
}

/** The machine decides, and the file's class must agree. */
function bitsOf({ machine, bits }: Elf, { pae }: GuestNotes): 32 | 64 {
  if (machine === EM_X86_64) {
    if (bits === 32)
      fail('the kernel is for x86-64, but a 32-bit ELF file: a PV kernel needs the class of its machine.');
    return 64;
  }
  if (machine !== EM_386) return fail(`the kernel is built for ELF machine ${machine}; an x86 kernel is needed.`);
  if (pae === undefined || pae === 'no')
    fail(
      'the kernel is a 32-bit one without PAE, which no Xen of today runs; build it with PAE (XEN_ELFNOTE_PAE_MODE "yes").',
    );
  return 32;
}

/** Addresses below 2^53, which an image of sane size has once its offset is taken away. */
function exact(value: bigint, highest: bigint): number {
  if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
  return fail(`the kernel's segments reach to ${hex(highest)}, which no domain's memory does; fetch the file again.`);
}

/** Nothing of a guest's may be where the hypervisor is, or where there are no addresses. */
export function checkRoom(from: bigint, to: bigint, bits: 32 | 64): void {
  const hole = HYPERVISOR[bits];
  const beyond = to > (bits === 32 ? 1n << 32n : 1n << 64n);
  const gap = bits === 64 && from < CANONICAL.high && to > CANONICAL.low;
  if (beyond || gap || (from < hole.to && to > hole.from))
    fail(
      `the kernel wants the addresses ${hex(from)} to ${hex(to)}, of which some are the hypervisor's or do not exist; build it for another VIRT_BASE.`,
    );
}

/** As Xen's builder: a place in the image's own window, or within a page, is none. */
function p2mBase({ initP2m, hvStartLow }: GuestNotes, bits: 32 | 64, virtBase: bigint): bigint | undefined {
  if (hvStartLow !== undefined && hvStartLow > HYPERVISOR[bits].from)
    fail(
      `the kernel wants the hypervisor to begin at ${hex(hvStartLow)} at the lowest (HV_START_LOW), and it begins at ${hex(HYPERVISOR[bits].from)}; use another kernel.`,
    );
  if (initP2m === undefined || bits === 32 || initP2m >= virtBase || initP2m % BigInt(PAGE) !== 0n) return undefined;
  return initP2m;
}
