/**
 * Where everything of a new PV domain lies (public/xen.h, "Start-of-day memory layout"). One window from VIRT_BASE on shows pseudo-physical memory
 * from 0: kernel, initrd, list of frames, start_info, xenstore's and the console's page, page tables, boot stack, and slack up to 4 MiB.
 * An initrd or list that may lie outside of it comes behind.
 */
import { BadImage, PAGE, alignUp, hex } from '../bytes.ts';
import { checkRoom, type Image } from './image.ts';
import { PAGING, TableSet, type Mapping } from './page_tables.ts';

export interface Frames {
  readonly pfn: number;
  readonly pages: number;
}

export interface Layout {
  readonly kernel: Frames;
  readonly initrd: (Frames & { readonly mapped: boolean }) | undefined;
  /** The list of frames; outside of the window: with the tables that show it behind it. */
  readonly p2m: Frames;
  readonly p2mAt: bigint;
  readonly startInfo: number;
  readonly xenstore: number;
  readonly console: number;
  /** Those of the window. */
  readonly pageTables: Frames;
  readonly bootStack: number;
  /** The first page behind the window. */
  readonly windowEnd: number;
  readonly tables: TableSet;
}

const SLACK_PAGES = (512 << 10) / PAGE;
const WINDOW_PAGES = (4 << 20) / PAGE;
const MIB_PAGES = (1 << 20) / PAGE;

/** Frames one after the other, as many as the domain has. */
class Allocator {
  readonly #limit: number;
  #next = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get next(): number {
    return this.#next;
  }

  take(what: string, pages: number): Frames {
    const pfn = this.#next;
    this.#next += pages;
    if (this.#next > this.#limit)
      throw new BadImage(
        `${what} (${mib(pages)} MiB at ${mib(pfn)} MiB) does not fit into ${mib(this.#limit)} MiB of memory; give at least ${Math.ceil(this.#next / MIB_PAGES)} MiB.`,
      );
    return { pfn, pages };
  }

  skipTo(what: string, pfn: number): void {
    this.take(what, pfn - this.#next);
  }
}

const mib = (pages: number): number => Math.ceil((pages / MIB_PAGES) * 10) / 10;

export function pvLayout(image: Image, initrdSize: number, pages: number): Layout {
  const wordSize = image.bits / 8;
  const listPages = alignUp(pages * wordSize, PAGE) / PAGE;
  const frames = new Allocator(pages);
  frames.skipTo('what lies below the kernel', image.start / PAGE);
  const kernel = frames.take('the kernel', alignUp(image.end - image.start, PAGE) / PAGE);
  const initrdPages = alignUp(initrdSize, PAGE) / PAGE;
  const mapped = image.notes.modStartPfn !== true;
  let initrd = initrdPages > 0 && mapped ? frames.take('the initrd', initrdPages) : undefined;
  let p2m = image.p2mBase === undefined ? frames.take("the domain's list of frames", listPages) : undefined;
  const { pfn: startInfo } = frames.take('start_info', 1);
  const { pfn: xenstore } = frames.take("xenstore's page", 1);
  const { pfn: console } = frames.take("the console's page", 1);

  const tables = new TableSet(PAGING[image.bits]);
  const window = windowOf(image, tables, frames.next);
  const pageTables = frames.take('the page tables', tables.missing(window));
  tables.add(window, pageTables.pfn);
  const { pfn: bootStack } = frames.take('the boot stack', 1);
  frames.skipTo('the room behind the kernel', window.pages);

  if (initrdPages > 0 && !mapped) initrd = frames.take('the initrd', initrdPages);
  let p2mAt = image.virtBase + BigInt((p2m?.pfn ?? 0) * PAGE);
  if (p2m === undefined) {
    p2mAt = image.p2mBase!;
    const list: Mapping = { at: p2mAt, pages: listPages, pfn: frames.next };
    checkRoom(p2mAt, p2mAt + BigInt(listPages * PAGE), image.bits);
    if (p2mAt + BigInt(listPages * PAGE) > image.virtBase)
      throw new BadImage(
        `the kernel's notes contradict each other: INIT_P2M ${hex(p2mAt)} leaves too little room below VIRT_BASE ${hex(image.virtBase)}; build the kernel again.`,
      );
    p2m = frames.take("the domain's list of frames", listPages + tables.missing(list));
    tables.add(list, list.pfn + listPages);
  }
  return {
    ...{ kernel, p2m, p2mAt, startInfo, xenstore, console, pageTables, bootStack, tables },
    initrd: initrd && { ...initrd, mapped },
    windowEnd: window.pages,
  };
}

/** The window grows with its own tables: it ends at 4 MiB with all of them, the boot stack and the slack inside. */
function windowOf(image: Image, tables: TableSet, used: number): Mapping {
  const base = Number((image.virtBase / BigInt(PAGE)) % BigInt(WINDOW_PAGES));
  for (let rest = 1 + SLACK_PAGES; ; ) {
    const pages = alignUp(base + used + rest, WINDOW_PAGES) - base;
    checkRoom(image.virtBase, image.virtBase + BigInt(pages * PAGE), image.bits);
    const window: Mapping = { at: image.virtBase, pages, pfn: 0 };
    const needed = tables.missing(window) + 1 + SLACK_PAGES;
    if (used + needed <= pages) return window;
    rest = needed;
  }
}
