/** public/argo.h */
import { array, domid_t, handle, structs, u16, u32, u8 } from '../layout.ts';

const { xen_argo_addr } = structs({ xen_argo_addr: { aport: u32, domain_id: domid_t, pad: u16 } });

export const argo = {
  xen_argo_addr,
  ...structs({
    xen_argo_iov: { iov_hnd: handle, iov_len: u32, pad: u32 },
    xen_argo_send_addr: { src: xen_argo_addr, dst: xen_argo_addr },
    xen_argo_ring: { rx_ptr: u32, tx_ptr: u32, reserved: array(u8, 56), ring: array(u8, 0) },
    xen_argo_register_ring: { aport: u32, partner_id: domid_t, pad: u16, len: u32 },
    xen_argo_unregister_ring: { aport: u32, partner_id: domid_t, pad: u16 },
    xen_argo_ring_data_ent: {
      ring: xen_argo_addr,
      flags: u16,
      pad: u16,
      space_required: u32,
      max_message_size: u32,
    },
    xen_argo_ring_data: { nent: u32, pad: u32 },
    xen_argo_ring_message_header: { len: u32, source: xen_argo_addr, message_type: u32, data: array(u8, 0) },
  }),
};
