/** The guest physical address space of a PVH domain: RAM, special pages, ACPI and the memory map that describes them. */
import {
  XEN_HVM_MEMMAP_TYPE_ACPI,
  XEN_HVM_MEMMAP_TYPE_RAM,
  XEN_HVM_MEMMAP_TYPE_RESERVED,
} from '../../../spec/abi/constants.ts';
import { BadImage, PAGE, hex } from './bytes.ts';

const MIB = 1 << 20;
const GIB4 = 2 ** 32;

/** Low RAM ends here at the latest; above are ACPI, special pages and the local APIC. */
const MMIO_HOLE = 0xf0000000;
/** Info page of Xen's ACPI builder; the tables follow. */
export const ACPI_INFO = 0xfc000000;
export const ACPI_TABLES = ACPI_INFO + PAGE;
export const MIN_MEMORY = MIB;
/** A host has at most 4 GiB of machine memory. */
export const MAX_MEMORY = GIB4;

/** Xen's special pages of an HVM or PVH domain: eight frames that end below 0xff000. */
const SPECIAL_PAGES_END = 0xff000;
const SPECIAL_NAMES = ['paging', 'access', 'sharing', 'bufioreq', 'xenstore', 'ioreq', 'identPt', 'console'] as const;
export type SpecialPages = Readonly<Record<(typeof SPECIAL_NAMES)[number], number>>;
const FIRST_SPECIAL = SPECIAL_PAGES_END - SPECIAL_NAMES.length;
export const SPECIAL_PAGES = Object.fromEntries(
  SPECIAL_NAMES.map((name, i) => [name, FIRST_SPECIAL + i]),
) as SpecialPages;

export interface Range {
  readonly gpa: number;
  readonly size: number;
}

export interface MapEntry extends Range {
  /** XEN_HVM_MEMMAP_TYPE_* */
  readonly type: number;
}

export interface AddressSpace {
  /** RAM of the domain: it counts as the domain's memory. */
  readonly ram: readonly Range[];
  /** Further frames to populate: special pages and ACPI. */
  readonly extra: readonly Range[];
  readonly memmap: readonly MapEntry[];
}

export function addressSpace(memory: number, acpiSize: number): AddressSpace {
  if (!Number.isSafeInteger(memory) || memory % PAGE !== 0)
    throw new BadImage(`the memory size ${memory} is not a whole number of pages.`);
  if (memory < MIN_MEMORY)
    throw new BadImage(
      `${memory / 1024} KiB of memory are too small for any guest; give at least ${MIN_MEMORY / MIB} MiB.`,
    );
  if (memory > MAX_MEMORY)
    throw new BadImage(
      `${hex(memory)} bytes of memory are more than a host has; give at most ${MAX_MEMORY / MIB} MiB.`,
    );
  const low = Math.min(memory, MMIO_HOLE);
  const ram: Range[] = [{ gpa: 0, size: low }];
  if (memory > low) ram.push({ gpa: GIB4, size: memory - low });
  const special = { gpa: FIRST_SPECIAL * PAGE, size: SPECIAL_NAMES.length * PAGE };
  const acpi = { gpa: ACPI_INFO, size: acpiSize };
  const entry = (range: Range, type: number): MapEntry => ({ ...range, type });
  const memmap = [
    entry(ram[0]!, XEN_HVM_MEMMAP_TYPE_RAM),
    entry(acpi, XEN_HVM_MEMMAP_TYPE_ACPI),
    entry(special, XEN_HVM_MEMMAP_TYPE_RESERVED),
  ];
  memmap.push(...ram.slice(1).map((range) => entry(range, XEN_HVM_MEMMAP_TYPE_RAM)));
  return { ram, extra: [acpi, special], memmap };
}
