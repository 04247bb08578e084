/** What a PV domain finds in its first register: start_info (public/xen.h), with longs of the guest's width. */
import { SIF_MOD_START_PFN, SIF_VIRT_P2M_4TOOLS } from '../../../../spec/abi/constants.ts';
import { pv32 } from '../../../../spec/abi/compat_pv.ts';
import { make } from '../../../../spec/abi/layout.ts';
import { xen } from '../../../../spec/abi/structs/xen.ts';
import { PAGE, text } from '../bytes.ts';
import type { Image } from './image.ts';
import type { Layout } from './layout.ts';

/** The name of a kind of guest, in XENVER_capabilities as in start_info. */
export const GUEST_TYPE = { 64: 'xen-3.0-x86_64', 32: 'xen-3.0-x86_32p' } as const;
/** The text's end included. */
export const MAX_CMDLINE = 1024;

/** What only the domain's maker knows. */
export interface DomainFacts {
  /** Machine frame of shared_info. */
  readonly sharedInfo: number;
  readonly storePort: number;
  readonly consolePort: number;
}

export interface Described {
  readonly image: Image;
  readonly layout: Layout;
  readonly pages: number;
  readonly cmdline: string;
  readonly initrdSize: number;
}

export function pvStartInfo(domain: Described, facts: DomainFacts, mfn: (pfn: number) => number): Uint8Array {
  const { image, layout } = domain;
  const { bits, virtBase } = image;
  const { initrd, p2m } = layout;
  const address = (pfn: number): bigint => virtBase + BigInt(pfn * PAGE);
  const { view, bytes } = bits === 64 ? make(xen.start_info) : make(pv32.start_info);
  const listed = image.p2mBase !== undefined;
  Object.assign(view, {
    nr_pages: BigInt(domain.pages),
    shared_info: BigInt(facts.sharedInfo) * BigInt(PAGE),
    flags: SIF_VIRT_P2M_4TOOLS | (initrd?.mapped === false ? SIF_MOD_START_PFN : 0),
    store_mfn: BigInt(mfn(layout.xenstore)),
    store_evtchn: facts.storePort,
    pt_base: address(layout.pageTables.pfn),
    nr_pt_frames: BigInt(layout.pageTables.pages),
    mfn_list: layout.p2mAt,
    mod_start: initrd === undefined ? 0n : initrd.mapped ? address(initrd.pfn) : BigInt(initrd.pfn),
    mod_len: BigInt(domain.initrdSize),
    first_p2m_pfn: listed ? BigInt(p2m.pfn) : 0n,
    nr_p2m_frames: listed ? BigInt(p2m.pages) : 0n,
  });
  view.console.domU.mfn = BigInt(mfn(layout.console));
  view.console.domU.evtchn = facts.consolePort;
  view.magic.bytes().set(text(GUEST_TYPE[bits]));
  view.cmd_line.bytes().set(new TextEncoder().encode(domain.cmdline));
  return bytes;
}
