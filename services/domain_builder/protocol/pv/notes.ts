/** What a kernel says of itself to a PV domain builder: Xen's ELF notes (public/elfnote.h), or the older text of the section `__xen_guest`. */
import * as abi from '../../../../spec/abi/constants.ts';
import { BadImage, Window, hex } from '../bytes.ts';
import type { Elf, Note } from '../elf.ts';

export interface GuestNotes {
  /** `legacy`: the text, which has other defaults. */
  readonly source: 'notes' | 'legacy';
  /** Virtual addresses; undefined: not said. */
  entry?: bigint;
  virtBase?: bigint;
  paddrOffset?: bigint;
  hvStartLow?: bigint;
  initP2m?: bigint;
  /** Virtual address in a note, a page's number in the text. */
  hypercallPage?: bigint;
  hypercallPfn?: bigint;
  xenVersion?: string;
  guestOs?: string;
  guestVersion?: string;
  loader?: string;
  pae?: 'no' | 'yes' | 'bimodal';
  bsdSymtab?: boolean;
  suspendCancel?: boolean;
  /** An initrd may lie outside the initial mapping. */
  modStartPfn?: boolean;
  /** Mask and value, in pairs: how a non-present L1 entry with a frame number looks. */
  l1MfnValid?: readonly bigint[];
  /** Numbers of XENFEAT_*. */
  supported: Set<number>;
  required: Set<number>;
  /** Text for people. */
  info: string[];
  /** It could be started as PVH. */
  phys32Entry?: bigint;
}

/** XENFEAT_* by their names in a kernel's list. */
const FEATURES: ReadonlyMap<string, number> = new Map(
  Object.entries(abi)
    .filter(([name]) => name.startsWith('XENFEAT_') && name !== 'XENFEAT_NR_SUBMAPS')
    .map(([name, bit]) => [name.slice('XENFEAT_'.length), Number(bit)]),
);
const FEATURE_BITS = 32;

const fail = (text: string): never => {
  throw new BadImage(text);
};

/** Undefined: the kernel says nothing. */
export function guestNotes(elf: Elf): GuestNotes | undefined {
  const notes = elf.notes.filter(({ name, type }) => name === 'Xen' && type <= abi.XEN_ELFNOTE_PHYS32_ENTRY);
  if (notes.length > 0) return fromNotes(notes);
  return elf.guestInfo === undefined ? undefined : fromText(elf.guestInfo);
}

const made = (source: GuestNotes['source']): GuestNotes => ({
  source,
  supported: new Set(),
  required: new Set(),
  info: [],
});

// ---- notes

type Read = (out: GuestNotes, note: Note) => void;

/** A number's note may be said once more, but not otherwise. */
const number =
  (field: 'entry' | 'virtBase' | 'paddrOffset' | 'hvStartLow' | 'initP2m' | 'hypercallPage' | 'phys32Entry'): Read =>
  (out, note) => {
    const value = numeric(note);
    const before = out[field];
    if (before !== undefined && before !== value)
      fail(
        `the kernel's notes contradict each other: XEN_ELFNOTE_${nameOf(note.type)} is ${hex(before)} and ${hex(value)}; build the kernel again.`,
      );
    out[field] = value;
  };
const flag =
  (field: 'suspendCancel' | 'modStartPfn'): Read =>
  (out, note) => {
    out[field] = [4, 8].includes(note.desc.length) && numeric(note) !== 0n;
  };
const text =
  (field: 'xenVersion' | 'guestOs' | 'guestVersion' | 'loader'): Read =>
  (out, note) => {
    out[field] = string(note);
  };

/** By the note's number. */
const READ: Readonly<Record<number, readonly [name: string, Read]>> = {
  [abi.XEN_ELFNOTE_INFO]: ['INFO', (out, note) => out.info.push(string(note))],
  [abi.XEN_ELFNOTE_ENTRY]: ['ENTRY', number('entry')],
  [abi.XEN_ELFNOTE_HYPERCALL_PAGE]: ['HYPERCALL_PAGE', number('hypercallPage')],
  [abi.XEN_ELFNOTE_VIRT_BASE]: ['VIRT_BASE', number('virtBase')],
  [abi.XEN_ELFNOTE_PADDR_OFFSET]: ['PADDR_OFFSET', number('paddrOffset')],
  [abi.XEN_ELFNOTE_XEN_VERSION]: ['XEN_VERSION', text('xenVersion')],
  [abi.XEN_ELFNOTE_GUEST_OS]: ['GUEST_OS', text('guestOs')],
  [abi.XEN_ELFNOTE_GUEST_VERSION]: ['GUEST_VERSION', text('guestVersion')],
  [abi.XEN_ELFNOTE_LOADER]: ['LOADER', text('loader')],
  [abi.XEN_ELFNOTE_PAE_MODE]: ['PAE_MODE', (out, note) => (out.pae = pae(string(note)))],
  [abi.XEN_ELFNOTE_FEATURES]: ['FEATURES', (out, note) => features(out, string(note))],
  [abi.XEN_ELFNOTE_BSD_SYMTAB]: ['BSD_SYMTAB', (out, note) => (out.bsdSymtab = string(note).startsWith('yes'))],
  [abi.XEN_ELFNOTE_HV_START_LOW]: ['HV_START_LOW', number('hvStartLow')],
  [abi.XEN_ELFNOTE_L1_MFN_VALID]: ['L1_MFN_VALID', (out, note) => (out.l1MfnValid = words(note))],
  [abi.XEN_ELFNOTE_SUSPEND_CANCEL]: ['SUSPEND_CANCEL', flag('suspendCancel')],
  [abi.XEN_ELFNOTE_INIT_P2M]: ['INIT_P2M', number('initP2m')],
  [abi.XEN_ELFNOTE_MOD_START_PFN]: ['MOD_START_PFN', flag('modStartPfn')],
  [abi.XEN_ELFNOTE_SUPPORTED_FEATURES]: ['SUPPORTED_FEATURES', (out, note) => featureBits(out, numeric(note))],
  [abi.XEN_ELFNOTE_PHYS32_ENTRY]: ['PHYS32_ENTRY', number('phys32Entry')],
};

const nameOf = (type: number): string => READ[type]![0];

function fromNotes(notes: readonly Note[]): GuestNotes {
  const out = made('notes');
  for (const note of notes) READ[note.type]?.[1](out, note);
  return out;
}

/** Four or eight bytes, by the note's size; other sizes mean nothing. */
function numeric({ type, desc }: Note): bigint {
  const bytes = new Window(desc, `the note XEN_ELFNOTE_${nameOf(type)}`);
  if (desc.length === 8) return bytes.big(0);
  if (desc.length === 4) return BigInt(bytes.u32(0));
  return fail(`${bytes.what} holds a number of ${desc.length} bytes; it takes 4 or 8: build the kernel again.`);
}

const string = ({ desc }: Note): string => Buffer.from(desc).toString('latin1').replace(/\0.*$/s, '');

function words({ desc }: Note): bigint[] {
  const bytes = new Window(desc, 'the note XEN_ELFNOTE_L1_MFN_VALID');
  return Array.from({ length: Math.floor(desc.length / 8) }, (_, i) => bytes.big(8 * i));
}

function pae(value: string): NonNullable<GuestNotes['pae']> {
  if (value.includes('bimodal')) return 'bimodal';
  return value.startsWith('yes') ? 'yes' : 'no';
}

/** `name|!name`: one after `!` must be there. A name that nobody knows is nothing to ask for, but nothing to do without either. */
function features(out: GuestNotes, list: string): void {
  for (const item of list.split('|')) {
    const needed = item.startsWith('!');
    const name = needed ? item.slice(1) : item;
    if (name === '') continue;
    const bit = FEATURES.get(name);
    if (bit === undefined) {
      if (needed) fail(`the kernel requires the feature '${name}', which is unknown here; use another kernel.`);
      continue;
    }
    out.supported.add(bit);
    if (needed) out.required.add(bit);
  }
}

function featureBits(out: GuestNotes, mask: bigint): void {
  for (let bit = 0; bit < FEATURE_BITS; bit++) if ((mask >> BigInt(bit)) & 1n) out.supported.add(bit);
}

// ---- the text: KEY=VALUE pairs between commas

const TEXT: Readonly<Record<string, (out: GuestNotes, value: string) => void>> = {
  GUEST_OS: (out, value) => (out.guestOs = value),
  GUEST_VER: (out, value) => (out.guestVersion = value),
  XEN_VER: (out, value) => (out.xenVersion = value),
  LOADER: (out, value) => (out.loader = value),
  PAE: (out, value) => (out.pae = pae(value)),
  FEATURES: features,
  BSD_SYMTAB: (out) => (out.bsdSymtab = true),
  VIRT_BASE: (out, value) => (out.virtBase = textNumber('VIRT_BASE', value)),
  VIRT_ENTRY: (out, value) => (out.entry = textNumber('VIRT_ENTRY', value)),
  ELF_PADDR_OFFSET: (out, value) => (out.paddrOffset = textNumber('ELF_PADDR_OFFSET', value)),
  HYPERCALL_PAGE: (out, value) => (out.hypercallPfn = textNumber('HYPERCALL_PAGE', value)),
};

function fromText(info: string): GuestNotes {
  const out = made('legacy');
  for (const pair of info.split(',')) {
    const [key, ...value] = pair.split('=');
    TEXT[key!.trim()]?.(out, value.join('='));
  }
  return out;
}

/** As C reads a number: 0x… hexadecimal, 0… octal, else decimal. */
function textNumber(key: string, value: string): bigint {
  const text = value.trim();
  if (/^0x[0-9a-f]{1,16}$/i.test(text)) return BigInt(text);
  if (/^0[0-7]{1,21}$/.test(text)) return BigInt(`0o${text.slice(1)}`);
  if (/^\d{1,19}$/.test(text)) return BigInt(text);
  return fail(`the kernel's __xen_guest section says ${key}=${value}, which is no number; build the kernel again.`);
}
