/** public/io/xs_wire.h, public/io/console.h */
import { array, char, structs, u32 } from '../layout.ts';

export const io = structs({
  xsd_sockmsg: { type: u32, req_id: u32, tx_id: u32, len: u32 },
  xenstore_domain_interface: {
    req: array(char, 1024),
    rsp: array(char, 1024),
    req_cons: u32,
    req_prod: u32,
    rsp_cons: u32,
    rsp_prod: u32,
    server_features: u32,
    connection: u32,
    error: u32,
  },
  xencons_interface: {
    in: array(char, 1024),
    out: array(char, 2048),
    in_cons: u32,
    in_prod: u32,
    out_cons: u32,
    out_prod: u32,
  },
});
