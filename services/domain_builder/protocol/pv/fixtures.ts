/** Generated PV kernels for the tests. */
import * as abi from '../../../../spec/abi/constants.ts';
import { concat, text, u16, u32, u64, u8, zeros } from '../bytes.ts';

export type TestNote = readonly [type: number, desc: Uint8Array];

export const str = (value: string): Uint8Array => text(`${value}\0`);
/** What every PV kernel says, then what is special about one. */
export const notes = (...more: TestNote[]): TestNote[] => [
  [abi.XEN_ELFNOTE_GUEST_OS, str('test')],
  [abi.XEN_ELFNOTE_LOADER, str('generic')],
  [abi.XEN_ELFNOTE_XEN_VERSION, str('xen-3.0')],
  ...more,
];

export interface PvElf {
  bits?: 32 | 64;
  machine?: number;
  /** Physical address, contents, size in memory. */
  segments?: { paddr: bigint; bytes: Uint8Array; memSize?: number }[];
  entry?: bigint;
  notes?: TestNote[];
  /** The text of __xen_guest. */
  guestInfo?: string;
  /** Contents of a symbol table and its strings. */
  symbols?: { table: Uint8Array; strings: Uint8Array };
}

const padded = (bytes: Uint8Array): Uint8Array => concat([bytes, zeros(-bytes.length & 3)]);

export function makePvElf(options: PvElf = {}): Uint8Array {
  const { bits = 64, machine = bits === 64 ? 62 : 3, entry = 0n } = options;
  const segments = options.segments ?? [{ paddr: 0x100000n, bytes: u8(0xf4), memSize: 0x3000 }];
  const wide = bits === 64;
  const word = wide ? u64 : u32;
  const sizes = wide ? { eh: 64, ph: 56, sh: 64 } : { eh: 52, ph: 32, sh: 40 };
  const named = (options.notes ?? []).map(([type, desc]) =>
    concat([u32(4, desc.length, type), text('Xen\0'), padded(desc)]),
  );
  const noteBytes = concat(named);

  const names = text('\0__xen_guest\0');
  const blobs: { type: number; name: number; bytes: Uint8Array; link?: number }[] = [
    { type: 0, name: 0, bytes: zeros(0) },
    { type: 3, name: 0, bytes: names },
  ];
  if (options.guestInfo !== undefined) blobs.push({ type: 1, name: 1, bytes: str(options.guestInfo) });
  if (options.symbols) {
    blobs.push({ type: 2, name: 0, bytes: options.symbols.table, link: blobs.length + 1 });
    blobs.push({ type: 3, name: 0, bytes: options.symbols.strings });
  }
  const phnum = segments.length + 1;
  const shoff = sizes.eh + phnum * sizes.ph;
  let at = shoff + blobs.length * sizes.sh;
  const place = (bytes: Uint8Array): number => {
    const from = at;
    at += padded(bytes).length;
    return from;
  };
  const programHeader = (type: number, paddr: bigint, bytes: Uint8Array, memSize: number): Uint8Array => {
    const from = place(bytes);
    return wide
      ? concat([u32(type, 7), u64(from, 0, paddr, bytes.length, memSize, 4)])
      : u32(type, from, 0, paddr, bytes.length, memSize, 7, 4);
  };
  const programs = [
    ...segments.map(({ paddr, bytes, memSize = bytes.length }) => programHeader(1, paddr, bytes, memSize)),
    programHeader(4, 0n, noteBytes, noteBytes.length),
  ];
  const sections = blobs.map(({ type, name, bytes, link = 0 }) => {
    const from = place(bytes);
    return concat([u32(name, type), word(0, 0, from, bytes.length), u32(link, 0), word(4, 0)]);
  });
  return concat([
    u8(0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, 1, 1, 0),
    zeros(8),
    u16(2, machine),
    u32(1),
    word(entry, sizes.eh, shoff),
    u32(0),
    u16(sizes.eh, sizes.ph, phnum, sizes.sh, blobs.length, 1),
    ...programs,
    ...sections,
    ...segments.map(({ bytes }) => padded(bytes)),
    padded(noteBytes),
    ...blobs.map(({ bytes }) => padded(bytes)),
  ]);
}

/** Machine frames of a domain in no order: what a guest may not take for its own numbers. */
export const scrambled = (pfn: number): number => 0x100 + ((pfn * 7919) % 1048573);
