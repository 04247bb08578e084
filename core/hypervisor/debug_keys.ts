// Keys of the console (XEN_SYSCTL_debug_keys): what the hypervisor tells of itself. They change nothing.
import { frames_free } from '../shared/frame_alloc';
import { host } from '../shared/host';
import { Pcpu, pcpu_get } from '../shared/pcpu';
import { EVTCHNSTAT_closed } from '../gen/abi';
import {
  CON_DOMAIN,
  CON_DOMAIN_PAGES,
  CON_DOMAIN_STATE,
  CON_EVENTS,
  CON_FREE,
  CON_HELP_E,
  CON_HELP_H,
  CON_HELP_M,
  CON_HELP_Q,
  CON_HELP_R,
  CON_KEY,
  CON_KEY_NONE,
  CON_PORT,
  CON_RUN,
  CON_RUN_VCPU,
  CON_VCPU,
  CON_VCPU_STATE,
} from './console_text';
import { printk } from './console_ring';
import { Domain, domain_first, domain_next, domain_vcpu } from './domain';
import { evtchn_at } from './event_channel';
import { system_time } from './time';
import { cpu_of, Vcpu, vcpu_domain } from './vcpu';

const KEY_E: u8 = 101;
const KEY_H: u8 = 104;
const KEY_M: u8 = 109;
const KEY_Q: u8 = 113;
const KEY_R: u8 = 114;
/** Ports of a domain that are told of at most: the ring would not hold them all. */
const PORTS: u32 = 64;
const NS_PER_MS: u64 = 1000000;

export function debug_key(key: u8): void {
  printk(CON_KEY, key, system_time() / NS_PER_MS);
  switch (key) {
    case KEY_H:
      for (let code: u32 = CON_HELP_H; code <= <u32>CON_HELP_R; code++) printk(code);
      return;
    case KEY_M:
      printk(CON_FREE, (<u64>frames_free()) << 2, (<u64>(host().memory_frames - host().first_frame)) << 2);
      for (let d = domain_first(); d != null; d = domain_next(d)) {
        printk(CON_DOMAIN, d.domid);
        pages(d);
      }
      return;
    case KEY_Q:
      for (let d = domain_first(); d != null; d = domain_next(d)) show_domain(d);
      return;
    case KEY_E:
      for (let d = domain_first(); d != null; d = domain_next(d)) show_events(d);
      return;
    case KEY_R:
      for (let i: u32 = 0; i < host().pcpu_count; i++) show_pcpu(i);
      return;
    default:
      printk(CON_KEY_NONE, key);
  }
}

function pages(d: Domain): void {
  printk(CON_DOMAIN_PAGES, d.tot_pages, d.max_pages, d.p2m_pages, d.grant_frames);
}

function show_domain(d: Domain): void {
  printk(CON_DOMAIN, d.domid);
  printk(CON_DOMAIN_STATE, d.flags, d.pause_count, d.shutdown_code, d.max_vcpus);
  pages(d);
  for (let i: u32 = 0; i < d.max_vcpus; i++) {
    const v = domain_vcpu(d, i);
    if (v == null) continue;
    printk(CON_VCPU, v.id, v.pcpu, v.flags, v.blocked);
    printk(CON_VCPU_STATE, v.state, v.time_running / NS_PER_MS, v.hypercalls, cpu_of(v).rip);
  }
}

function show_events(d: Domain): void {
  printk(CON_EVENTS, d.domid, d.evtchn_ports, d.evtchn_fifo != 0 ? 1 : 0);
  let shown: u32 = 0;
  for (let port: u32 = 1; port < d.evtchn_ports && shown < PORTS; port++) {
    const e = evtchn_at(d, port);
    if (e.state == <u8>EVTCHNSTAT_closed) continue;
    printk(CON_PORT, port, e.state, e.remote_dom, e.remote_port);
    shown++;
  }
}

function show_pcpu(id: u32): void {
  printk(CON_RUN, id);
  const p = pcpu_get(id);
  const v = changetype<Vcpu | null>(<usize>atomic.load<u32>(changetype<usize>(p) + offsetof<Pcpu>('current')));
  if (v != null) printk(CON_RUN_VCPU, vcpu_domain(v).domid, v.id, v.state);
}
