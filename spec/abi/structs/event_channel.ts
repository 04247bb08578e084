/** public/event_channel.h */
import { array, domid_t, evtchn_port_t, struct, structs, u32, u64, u8, union } from '../layout.ts';

export const eventChannel = structs({
  evtchn_alloc_unbound: { dom: domid_t, remote_dom: domid_t, port: evtchn_port_t },
  evtchn_bind_interdomain: { remote_dom: domid_t, remote_port: evtchn_port_t, local_port: evtchn_port_t },
  evtchn_bind_virq: { virq: u32, vcpu: u32, port: evtchn_port_t },
  evtchn_bind_pirq: { pirq: u32, flags: u32, port: evtchn_port_t },
  evtchn_bind_ipi: { vcpu: u32, port: evtchn_port_t },
  evtchn_close: { port: evtchn_port_t },
  evtchn_send: { port: evtchn_port_t },
  evtchn_status: {
    dom: domid_t,
    port: evtchn_port_t,
    status: u32,
    vcpu: u32,
    u: union({
      unbound: struct({ dom: domid_t }),
      interdomain: struct({ dom: domid_t, port: evtchn_port_t }),
      pirq: u32,
      virq: u32,
    }),
  },
  evtchn_bind_vcpu: { port: evtchn_port_t, vcpu: u32 },
  evtchn_unmask: { port: evtchn_port_t },
  evtchn_reset: { dom: domid_t },
  evtchn_init_control: { control_gfn: u64, offset: u32, vcpu: u32, link_bits: u8, _pad: array(u8, 7) },
  evtchn_expand_array: { array_gfn: u64 },
  evtchn_set_priority: { port: evtchn_port_t, priority: u32 },
  evtchn_fifo_control_block: { ready: u32, _rsvd: u32, head: array(u32, 16) },
});
