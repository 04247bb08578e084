// The console's first lines.
import { frames_free } from '../shared/frame_alloc';
import { host } from '../shared/host';
import { printk } from './console_ring';
import { CON_BANNER, CON_BUILT, CON_MEMORY, CON_PCPUS } from './console_text';
import { TEXT_COMPILE_INFO, TEXT_EXTRAVERSION, XEN_MAJOR, XEN_MINOR } from './version_op';

/** Places in struct xen_compile_info: compiler, by, domain, date. */
const BY: u64 = TEXT_COMPILE_INFO + 64;
const DOMAIN: u64 = BY + 16;

/** The platform has written the texts. */
export function console_start(): void {
  const h = host();
  printk(CON_BANNER, XEN_MAJOR, XEN_MINOR, TEXT_EXTRAVERSION, BY, DOMAIN);
  printk(CON_BUILT, TEXT_COMPILE_INFO);
  printk(CON_MEMORY, (<u64>h.memory_frames) << 2, (<u64>frames_free()) << 2);
  printk(CON_PCPUS, h.pcpu_count);
}
