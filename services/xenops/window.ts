// The window of domain 0's space through which new domains get their contents.
import type { Hypercalls } from '../lib/hypercalls.ts';
import type { Write } from '../domain_builder/protocol/index.ts';

const PAGE = 4096;
/** Frames of the guest mapped at once while it is loaded, and where. */
const WINDOW = 256;
export const WINDOW_AT = 0x10000;

/** Puts a plan's bytes in place; `frame` is what the hypervisor calls a frame of the plan's. The window is closed whatever happens. */
export function writeAll(
  dom0: Hypercalls,
  domid: number,
  writes: readonly Write[],
  frame: (pfn: number) => number,
): void {
  let mapped = 0;
  try {
    for (const { gpa, bytes } of writes)
      for (let done = 0; done < bytes.length; ) {
        const at = gpa + done;
        const inPage = at % PAGE;
        const n = Math.min(WINDOW * PAGE - inPage, bytes.length - done);
        const pages = Math.ceil((inPage + n) / PAGE);
        const first = (at - inPage) / PAGE;
        dom0.mapForeignFrames(domid, (i) => frame(first + i), pages, WINDOW_AT);
        mapped = Math.max(mapped, pages);
        dom0.mailbox.write(WINDOW_AT * PAGE + inPage, bytes.subarray(done, done + n));
        done += n;
      }
  } finally {
    dom0.unmap(WINDOW_AT, mapped);
  }
}
