// The console's sentences (console_text.ts). TypeScript: used by the platform. %d and %x take a number, %s an offset in the text area.
import * as n from './console_text.ts';

const TEXTS: Readonly<Record<number, string>> = {
  [n.CON_BANNER]: 'Xen version %d.%d%s (%s@%s)',
  [n.CON_BUILT]: 'built by %s',
  [n.CON_MEMORY]: 'machine memory: %d KiB, of which %d KiB are free',
  [n.CON_PCPUS]: '%d pCPUs',
  [n.CON_CRASH]: 'domain %d crashed on vCPU %d, reason %d',
  [n.CON_CRASH_RIP]: '  rip %x, rsp %x, cr3 %x',
  [n.CON_KEY]: "'%c' pressed -> at %d ms",
  [n.CON_KEY_NONE]: "nothing is done at '%c'; 'h' shows the keys",
  [n.CON_HELP_H]: " key 'h' => show this",
  [n.CON_HELP_E]: " key 'e' => show event channels",
  [n.CON_HELP_M]: " key 'm' => show memory",
  [n.CON_HELP_Q]: " key 'q' => show domains and their vCPUs",
  [n.CON_HELP_R]: " key 'r' => show what the pCPUs run",
  [n.CON_DOMAIN]: 'domain %d:',
  [n.CON_DOMAIN_STATE]: '    flags=%x pause_count=%d shutdown_code=%d max_vcpus=%d',
  [n.CON_DOMAIN_PAGES]: '    nr_pages=%d max_pages=%d p2m_pages=%d grant_frames=%d',
  [n.CON_VCPU]: '    VCPU%d: CPU%d flags=%x blocked=%d',
  [n.CON_VCPU_STATE]: '      state=%d running for %d ms, %d hypercalls, rip %x',
  [n.CON_RUN]: 'CPU%d:',
  [n.CON_RUN_VCPU]: '    domain %d VCPU%d, state %d',
  [n.CON_EVENTS]: 'event channels of domain %d: %d ports, FIFO %d',
  [n.CON_PORT]: '    port %d: state %d, to domain %d port %d',
  [n.CON_FREE]: 'free: %d KiB of %d KiB',
  [n.CON_SHUTDOWN]: 'domain %d shut down, reason %d',
};

/** Bytes for CON_TEXT_AT in the host's text area. */
export function consoleTextBytes(): Uint8Array {
  const list = Array.from({ length: n.CON_TEXTS }, (_, i) => Buffer.from(`${TEXTS[i]}\0`));
  const bytes = new Uint8Array(2 * list.length + list.reduce((sum, text) => sum + text.length, 0));
  const view = new DataView(bytes.buffer);
  let at = 2 * list.length;
  list.forEach((text, i) => {
    view.setUint16(2 * i, at, true);
    bytes.set(text, at);
    at += text.length;
  });
  return bytes;
}
