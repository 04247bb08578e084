// The list of a PV domain's frames, as the domain itself keeps it and says where (arch_shared_info): for who looks at the domain from outside.
import { COMPAT_STRUCTS } from '../../spec/abi/compat.ts';
import { view } from '../../spec/abi/layout.ts';
import { STRUCTS } from '../../spec/abi/structs/index.ts';
import type { ControlCalls } from './control_calls.ts';

const PAGE = 4096;
const PRESENT = 1n;
const FRAME = 0x000f_ffff_ffff_f000n;
/** How a domain of a width has it. */
interface Form {
  /** Entries of a page of the list. */
  words: number;
  levels: 3 | 4;
  /** Bits of what is no frame of the domain's own: nothing, another's, or the same number as the machine's. */
  notOwn: bigint;
  none: bigint;
}
const FORMS: Readonly<Record<32 | 64, Form>> = {
  64: { words: PAGE / 8, levels: 4, notOwn: 0xfff0_0000_0000_0000n, none: 0xffff_ffff_ffff_ffffn },
  32: { words: PAGE / 4, levels: 3, notOwn: 0xc000_0000n, none: 0xffff_ffffn },
};
/** A domain of 4 GiB: what a guest says beyond it is no list. */
const MAX_PFNS = 1 << 20;

export interface OwnFrame {
  pfn: number;
  mfn: number;
}

/** Pages of the domain by machine frame number; undefined: it is none of the domain's. */
export type ReadFrame = (mfn: number) => Uint8Array | undefined;

/** Undefined: the domain has published no list, or one that cannot be read. */
export function ownFrames(
  calls: ControlCalls,
  domid: number,
  read: ReadFrame,
  bits: 32 | 64 = 64,
): OwnFrame[] | undefined {
  const shared = calls.domain(domid)?.sharedInfoFrame;
  const page = shared === undefined ? undefined : read(shared);
  if (!page) return undefined;
  const form = FORMS[bits];
  const { words } = form;
  const said = bits === 64 ? said64(page) : said32(page);
  const count = Number(said.maxPfn);
  if (count === 0 || count > MAX_PFNS) return undefined;
  const pages = Math.ceil(count / words);
  const lists =
    said.root !== 0n ? linear(form, read, said.root, said.address, pages) : tree(form, read, Number(said.list), pages);
  if (!lists) return undefined;
  const frames: OwnFrame[] = [];
  lists.forEach((list, i) => {
    for (let k = 0; list && k < words && i * words + k < count; k++) {
      const entry = list[k]!;
      if ((entry & form.notOwn) === 0n && entry !== 0n) frames.push({ pfn: i * words + k, mfn: Number(entry) });
    }
  });
  return frames;
}

/** What arch_shared_info says: how many frames, the page of the older form, and of the newer one the root's frame and where the list is. */
interface Said {
  maxPfn: bigint;
  list: bigint;
  root: bigint;
  address: bigint;
}

function said64(page: Uint8Array): Said {
  const { arch } = view(STRUCTS.shared_info, new DataView(page.buffer, page.byteOffset, page.byteLength));
  return {
    maxPfn: arch.max_pfn,
    list: arch.pfn_to_mfn_frame_list_list & 0xffff_ffffn,
    root: (arch.p2m_cr3 & FRAME) >> 12n,
    address: arch.p2m_vaddr,
  };
}

function said32(page: Uint8Array): Said {
  const v = new DataView(page.buffer, page.byteOffset, page.byteLength);
  const { shared_info: shared, arch_shared_info: arch } = COMPAT_STRUCTS;
  const word = (name: string): bigint => BigInt(v.getUint32(shared!.offsets.arch! + arch!.offsets[name]!, true));
  const cr3 = word('p2m_cr3');
  return {
    maxPfn: word('max_pfn'),
    list: word('pfn_to_mfn_frame_list_list'),
    // xen_cr3_to_pfn
    root: (cr3 >> 12n) | ((cr3 & 0xfffn) << 20n),
    address: word('p2m_vaddr'),
  };
}

type Words = BigUint64Array;
const table = (page: Uint8Array): Words => new BigUint64Array(page.slice().buffer);
const words = (form: Form, page: Uint8Array): Words =>
  form.words === PAGE / 8 ? table(page) : BigUint64Array.from(new Uint32Array(page.slice().buffer), BigInt);

/** One list at a virtual address of the guest's kernel. */
function linear(form: Form, read: ReadFrame, root: bigint, address: bigint, pages: number): (Words | undefined)[] {
  const cache = new Map<number, Words | undefined>();
  const entries = (mfn: number): Words | undefined => {
    if (!cache.has(mfn)) {
      const page = read(mfn);
      cache.set(mfn, page && table(page));
    }
    return cache.get(mfn);
  };
  return Array.from({ length: pages }, (_, i) => {
    const at = address + BigInt(i * PAGE);
    let mfn = Number(root);
    for (let level = form.levels; level > 0; level--) {
      const entry = entries(mfn)?.[Number((at >> BigInt(12 + 9 * (level - 1))) & 511n)];
      if (entry === undefined || (entry & PRESENT) === 0n) return undefined;
      mfn = Number((entry & FRAME) >> 12n);
    }
    const page = read(mfn);
    return page && words(form, page);
  });
}

/** The older form: a page of pages of pages. */
function tree(form: Form, read: ReadFrame, root: number, pages: number): (Words | undefined)[] | undefined {
  const top = root === 0 || root === 0xffff_ffff ? undefined : read(root);
  if (!top) return undefined;
  const lists = words(form, top);
  const inner = new Map<number, Words | undefined>();
  return Array.from({ length: pages }, (_, i) => {
    const k = Math.floor(i / form.words);
    if (!inner.has(k)) {
      const page = frame(form, lists[k], read);
      inner.set(k, page && words(form, page));
    }
    const leaf = frame(form, inner.get(k)?.[i % form.words], read);
    return leaf && words(form, leaf);
  });
}

const frame = (form: Form, entry: bigint | undefined, read: ReadFrame): Uint8Array | undefined =>
  entry === undefined || entry === form.none || entry > 0xffff_ffffn ? undefined : read(Number(entry));
