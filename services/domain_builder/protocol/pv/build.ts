/**
 * The builder of PV domains: from a kernel, an initrd and a command line to a plan of what pseudo-physical memory holds, then, once the hypervisor
 * has said which machine frames the domain got, to what names them: list of frames, page tables, start_info and the first vCPU. Pure.
 */
import { BadImage, PAGE } from '../bytes.ts';
import { extractElf } from '../bzimage.ts';
import { unpackedModule } from '../decompress.ts';
import { parseElf } from '../elf.ts';
import type { DomainConfig, Write } from '../build.ts';
import { MAX_MEMORY } from '../memory_map.ts';
import { pvContext } from './context.ts';
import { pvImage } from './image.ts';
import { pvLayout } from './layout.ts';
import { GUEST_TYPE, MAX_CMDLINE, pvStartInfo, type Described, type DomainFacts } from './start_info.ts';

export interface PvPlan {
  readonly type: 'pv';
  /** What XENVER_capabilities calls its kind. */
  readonly guestType: (typeof GUEST_TYPE)[32 | 64];
  readonly bits: 32 | 64;
  readonly pages: number;
  /** Bytes of machine memory that the domain takes. */
  readonly size: number;
  /** What needs no machine frame, by pseudo-physical address. Memory that no step writes must be zero. */
  readonly writes: readonly Write[];
  /** The first frames of what the domain's maker has to know. */
  readonly xenstorePfn: number;
  readonly consolePfn: number;
  readonly startInfoPfn: number;
  /** The top page table, to be pinned. */
  readonly rootPfn: number;
  /** For XEN_DOMCTL_hypercall_init. */
  readonly hypercallPfn: number | undefined;
  /** Where everything is, for logs and tests. */
  readonly domain: Described;
  finish(mfn: (pfn: number) => number, facts: DomainFacts): PvFinish;
}

export interface PvFinish {
  readonly writes: readonly Write[];
  /** struct vcpu_guest_context, in the guest's width. */
  readonly context: Uint8Array;
}

export function buildPv(config: DomainConfig): PvPlan {
  const { memory } = config;
  if (!Number.isSafeInteger(memory) || memory % PAGE !== 0 || memory <= 0 || memory > MAX_MEMORY)
    throw new BadImage(`the memory size ${memory} is not a whole number of pages that a host can have.`);
  if (Buffer.byteLength(config.cmdline) >= MAX_CMDLINE)
    throw new BadImage(`the command line is longer than the ${MAX_CMDLINE - 1} bytes that a PV domain can be given.`);
  if (config.cmdline.includes('\0')) throw new BadImage('the command line contains a zero byte.');
  if (config.initrd?.length === 0) throw new BadImage('the initrd is empty; leave it out or give another one.');
  const file = extractElf(config.kernel);
  const image = pvImage(parseElf(file));
  const initrd = config.initrd && unpackedModule(config.initrd, memory);
  const pages = memory / PAGE;
  const initrdSize = initrd?.length ?? 0;
  const layout = pvLayout(image, initrdSize, pages);
  const domain: Described = { image, layout, pages, cmdline: config.cmdline, initrdSize };

  const writes: Write[] = image.elf.segments.map(({ paddr, fileOffset, fileSize }) => ({
    gpa: Number(paddr - image.paddrOffset),
    bytes: file.subarray(fileOffset, fileOffset + fileSize),
  }));
  if (image.symbols) writes.push({ gpa: image.symbols.start, bytes: image.symbols.bytes(file) });
  if (initrd) writes.push({ gpa: layout.initrd!.pfn * PAGE, bytes: initrd });
  return {
    type: 'pv',
    guestType: GUEST_TYPE[image.bits],
    bits: image.bits,
    pages,
    size: memory,
    writes: writes.filter(({ bytes }) => bytes.length > 0),
    xenstorePfn: layout.xenstore,
    consolePfn: layout.console,
    startInfoPfn: layout.startInfo,
    rootPfn: layout.tables.root.pfn,
    hypercallPfn: image.hypercallPfn,
    domain,
    finish: (mfn, facts) => finish(domain, mfn, facts),
  };
}

function finish(domain: Described, mfn: (pfn: number) => number, facts: DomainFacts): PvFinish {
  const { image, layout, pages } = domain;
  const list =
    image.bits === 64
      ? BigUint64Array.from({ length: pages }, (_, pfn) => BigInt(mfn(pfn)))
      : Uint32Array.from({ length: pages }, (_, pfn) => mfn(pfn));
  const at = (pfn: number, bytes: Uint8Array): Write => ({ gpa: pfn * PAGE, bytes });
  return {
    writes: [
      at(layout.p2m.pfn, new Uint8Array(list.buffer)),
      at(layout.startInfo, pvStartInfo(domain, facts, mfn)),
      ...layout.tables.bytes(mfn).map(([table, bytes]) => at(table.pfn, bytes)),
    ],
    context: pvContext(image, layout, mfn(layout.tables.root.pfn)),
  };
}
