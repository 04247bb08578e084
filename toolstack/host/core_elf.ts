// Xen's dump-core format (docs/misc/dump-core-format of Xen), version 0.1: an ELF file of sections. Pure: what comes before and behind
// the pages, and where the pages lie.
import {
  XEN_ELFNOTE_DUMPCORE_FORMAT_VERSION,
  XEN_ELFNOTE_DUMPCORE_HEADER,
  XEN_ELFNOTE_DUMPCORE_NONE,
  XEN_ELFNOTE_DUMPCORE_XEN_VERSION,
} from '../../spec/abi/constants.ts';
import type { VersionInfo } from '../../services/xenops/control_calls.ts';

export interface Core {
  /** struct vcpu_guest_context each. */
  contexts: readonly Uint8Array[];
  /** Where the guest mapped it: what stands there. */
  sharedInfo: Uint8Array | undefined;
  /** Frame numbers of the pages, ascending. */
  pfns: readonly number[];
  /** Of a PV domain: the pages' machine frames. */
  mfns?: readonly number[] | undefined;
  version: VersionInfo;
  /** Of the domain's addresses. */
  bits: 32 | 64;
}

const PAGE = 4096;
/** XC_CORE_MAGIC_HVM: a translated domain, whose pages are listed in .xen_pfn. */
const MAGIC_HVM = 0xf00febeen;
/** XC_CORE_MAGIC: one whose pages have machine frames, which .xen_p2m says, too. */
const MAGIC_PV = 0xf00febedn;
const FORMAT = 1n;

const EHDR = 64;
const SHDR = 64;
const ET_CORE = 4;
/** EM_386, EM_X86_64. */
const MACHINE = { 32: 3, 64: 62 } as const;
const [SHT_PROGBITS, SHT_STRTAB, SHT_NOTE] = [1, 3, 7];

/** Parts of a structure, one behind the other. */
class Bytes {
  readonly #parts: Uint8Array[] = [];

  u64(...values: bigint[]): this {
    this.#parts.push(new Uint8Array(BigUint64Array.from(values).buffer));
    return this;
  }

  text(value: string, size: number): this {
    const bytes = new Uint8Array(size);
    bytes.set(Buffer.from(value, 'latin1').subarray(0, size - 1));
    this.#parts.push(bytes);
    return this;
  }

  get bytes(): Uint8Array {
    return Buffer.concat(this.#parts);
  }
}

function note(type: number, body: Uint8Array): Uint8Array {
  const padded = Math.ceil(body.length / 4) * 4;
  const out = new Uint8Array(16 + padded);
  const view = new DataView(out.buffer);
  view.setUint32(0, 4, true);
  view.setUint32(4, body.length, true);
  view.setUint32(8, type, true);
  out.set(Buffer.from('Xen\0'), 12);
  out.set(body, 16);
  return out;
}

function notes({ contexts, pfns, mfns, version: v }: Core): Uint8Array {
  const header = new Bytes().u64(
    mfns ? MAGIC_PV : MAGIC_HVM,
    BigInt(contexts.length),
    BigInt(pfns.length),
    BigInt(PAGE),
  );
  const version = new Bytes()
    .u64(BigInt(v.major), BigInt(v.minor))
    .text(v.extra, 16)
    .text(v.compiler, 64)
    .text(v.compileBy, 16)
    .text(v.compileDomain, 32)
    .text(v.compileDate, 32)
    .text(v.capabilities, 1024)
    .text(v.changeset, 64)
    .u64(BigInt(`0x${v.virtStart}`), BigInt(v.pageSize));
  return Buffer.concat([
    note(XEN_ELFNOTE_DUMPCORE_NONE, new Uint8Array(0)),
    note(XEN_ELFNOTE_DUMPCORE_HEADER, header.bytes),
    note(XEN_ELFNOTE_DUMPCORE_XEN_VERSION, version.bytes),
    note(XEN_ELFNOTE_DUMPCORE_FORMAT_VERSION, new Bytes().u64(FORMAT).bytes),
  ]);
}

interface Section {
  name: string;
  type: number;
  size: number;
  align: number;
  entry: number;
  /** Absent: the pages. */
  body?: Uint8Array;
}

function sections(core: Core): Section[] {
  const contexts = Buffer.concat(core.contexts);
  const list = (name: string, type: number, body: Uint8Array, align = 8, entry = 0): Section => ({
    ...{ name, type, size: body.length, align, entry, body },
  });
  const { mfns } = core;
  const numbers = mfns ? core.pfns.flatMap((pfn, i) => [pfn, mfns[i]!]) : core.pfns;
  const frames = new Uint8Array(BigUint64Array.from(numbers, (n) => BigInt(n)).buffer);
  return [
    list('.note.Xen', SHT_NOTE, notes(core), 4),
    list('.xen_prstatus', SHT_PROGBITS, contexts, 8, core.contexts[0]?.length ?? 0),
    ...(core.sharedInfo ? [list('.xen_shared_info', SHT_PROGBITS, core.sharedInfo, 8, PAGE)] : []),
    { name: '.xen_pages', type: SHT_PROGBITS, size: core.pfns.length * PAGE, align: PAGE, entry: PAGE },
    mfns ? list('.xen_p2m', SHT_PROGBITS, frames, 8, 16) : list('.xen_pfn', SHT_PROGBITS, frames, 8, 8),
  ];
}

/** What stands before the pages and what behind them. */
export function coreFile(core: Core): { head: Uint8Array; tail: Uint8Array } {
  const own = sections(core);
  const names = `\0.shstrtab\0${own.map(({ name }) => `${name}\0`).join('')}`;
  const strings: Section = {
    name: '.shstrtab',
    type: SHT_STRTAB,
    size: names.length,
    align: 1,
    entry: 0,
    body: Buffer.from(names),
  };
  const all = [...own, strings];
  let at = EHDR + SHDR * (all.length + 1);
  const placed = all.map((section) => {
    at = Math.ceil(at / section.align) * section.align;
    const offset = at;
    at += section.size;
    return { section, offset };
  });
  const pages = placed.find(({ section }) => section.body === undefined)!;
  const after = pages.offset + pages.section.size;
  const head = new Uint8Array(pages.offset);
  const tail = new Uint8Array(at - after);
  header(head, all.length + 1, MACHINE[core.bits]);
  placed.forEach(({ section, offset }, i) => {
    sectionHeader(head, EHDR + SHDR * (i + 1), section, offset, names.indexOf(section.name));
    if (section.body) (offset < after ? head : tail).set(section.body, offset < after ? offset : offset - after);
  });
  return { head, tail };
}

function header(out: Uint8Array, count: number, machine: number): void {
  const v = new DataView(out.buffer);
  out.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  v.setUint16(16, ET_CORE, true);
  v.setUint16(18, machine, true);
  v.setUint32(20, 1, true);
  v.setBigUint64(40, BigInt(EHDR), true);
  v.setUint16(52, EHDR, true);
  v.setUint16(58, SHDR, true);
  v.setUint16(60, count, true);
  v.setUint16(62, count - 1, true);
}

function sectionHeader(out: Uint8Array, at: number, section: Section, offset: number, name: number): void {
  const v = new DataView(out.buffer, at);
  v.setUint32(0, name, true);
  v.setUint32(4, section.type, true);
  v.setBigUint64(24, BigInt(offset), true);
  v.setBigUint64(32, BigInt(section.size), true);
  v.setBigUint64(48, BigInt(section.align), true);
  v.setBigUint64(56, BigInt(section.entry), true);
}
