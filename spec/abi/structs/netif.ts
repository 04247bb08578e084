/** public/io/netif.h */
import { array, struct, structs, u16, u32, u8, union, grant_ref_t, i16 } from '../layout.ts';

export const netif = structs({
  netif_tx_request: { gref: grant_ref_t, offset: u16, flags: u16, id: u16, size: u16 },
  netif_tx_response: { id: u16, status: i16 },
  netif_rx_request: { id: u16, pad: u16, gref: grant_ref_t },
  netif_rx_response: { id: u16, offset: u16, flags: u16, status: i16 },
  /** Takes the place of a request or of an answer. */
  netif_extra_info: {
    type: u8,
    flags: u8,
    u: union({
      gso: struct({ size: u16, type: u8, pad: u8, features: u16 }),
      mcast: struct({ addr: array(u8, 6) }),
      hash: struct({ type: u8, algorithm: u8, value: array(u8, 4) }),
      pad: array(u16, 3),
    }),
  },
  xen_netif_ctrl_request: { id: u16, type: u16, data: array(u32, 3) },
  xen_netif_ctrl_response: { id: u16, type: u16, status: u32, data: u32 },
});
