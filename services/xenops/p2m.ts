// The list of a PV domain's frames, as the domain itself keeps it and says where (arch_shared_info): for who looks at the domain from outside.
import { view } from '../../spec/abi/layout.ts';
import { STRUCTS } from '../../spec/abi/structs/index.ts';
import type { ControlCalls } from './control_calls.ts';

const PAGE = 4096;
const WORDS = PAGE / 8;
const LEVELS = 4;
const PRESENT = 1n;
const FRAME = 0x000f_ffff_ffff_f000n;
/** What is no frame of the domain's own: nothing, another's, or the same number as the machine's. */
const NOT_OWN = 0xfff0_0000_0000_0000n;
const NONE = ~0n & 0xffff_ffff_ffff_ffffn;
/** A domain of 4 GiB: what a guest says beyond it is no list. */
const MAX_PFNS = 1 << 20;

export interface OwnFrame {
  pfn: number;
  mfn: number;
}

/** Pages of the domain by machine frame number; undefined: it is none of the domain's. */
export type ReadFrame = (mfn: number) => Uint8Array | undefined;

/** Undefined: the domain has published no list, or one that cannot be read. */
export function ownFrames(calls: ControlCalls, domid: number, read: ReadFrame): OwnFrame[] | undefined {
  const shared = calls.domain(domid)?.sharedInfoFrame;
  const page = shared === undefined ? undefined : read(shared);
  if (!page) return undefined;
  const { arch } = view(STRUCTS.shared_info, new DataView(page.buffer, page.byteOffset, page.byteLength));
  const count = Number(arch.max_pfn);
  if (count === 0 || count > MAX_PFNS) return undefined;
  const pages = Math.ceil(count / WORDS);
  const lists =
    arch.p2m_cr3 !== 0n
      ? linear(read, arch.p2m_cr3, arch.p2m_vaddr, pages)
      : tree(read, Number(arch.pfn_to_mfn_frame_list_list & 0xffff_ffffn), pages);
  if (!lists) return undefined;
  const frames: OwnFrame[] = [];
  lists.forEach((list, i) => {
    for (let k = 0; list && k < WORDS && i * WORDS + k < count; k++) {
      const entry = list[k]!;
      if ((entry & NOT_OWN) === 0n && entry !== 0n) frames.push({ pfn: i * WORDS + k, mfn: Number(entry) });
    }
  });
  return frames;
}

const words = (page: Uint8Array): BigUint64Array => new BigUint64Array(page.slice().buffer);

/** One list at a virtual address of the guest's kernel. */
function linear(read: ReadFrame, cr3: bigint, address: bigint, pages: number): (BigUint64Array | undefined)[] {
  const cache = new Map<number, BigUint64Array | undefined>();
  const table = (mfn: number): BigUint64Array | undefined => {
    if (!cache.has(mfn)) {
      const page = read(mfn);
      cache.set(mfn, page && words(page));
    }
    return cache.get(mfn);
  };
  return Array.from({ length: pages }, (_, i) => {
    const at = address + BigInt(i * PAGE);
    let mfn = Number((cr3 & FRAME) >> 12n);
    for (let level = LEVELS; level > 0; level--) {
      const entry = table(mfn)?.[Number((at >> BigInt(12 + 9 * (level - 1))) & 511n)];
      if (entry === undefined || (entry & PRESENT) === 0n) return undefined;
      mfn = Number((entry & FRAME) >> 12n);
    }
    const page = read(mfn);
    return page && words(page);
  });
}

/** The older form: a page of pages of pages. */
function tree(read: ReadFrame, root: number, pages: number): (BigUint64Array | undefined)[] | undefined {
  const top = root === 0 || root === 0xffff_ffff ? undefined : read(root);
  if (!top) return undefined;
  const lists = words(top);
  const inner = new Map<number, BigUint64Array | undefined>();
  return Array.from({ length: pages }, (_, i) => {
    const k = Math.floor(i / WORDS);
    if (!inner.has(k)) {
      const page = frame(lists[k], read);
      inner.set(k, page && words(page));
    }
    const leaf = frame(inner.get(k)?.[i % WORDS], read);
    return leaf && words(leaf);
  });
}

const frame = (entry: bigint | undefined, read: ReadFrame): Uint8Array | undefined =>
  entry === undefined || entry === NONE || entry > 0xffff_ffffn ? undefined : read(Number(entry));
