// Whose frames and tables a page-table hypercall is about: its foreigndom.
import { DOMID_SELF } from '../../gen/abi';
import { Domain, domain_by_id } from '../domain';

/** The domain whose frames are named; null: there is none, or the caller has named itself. (DOMID_IO and DOMID_XEN have no frames here.) */
export function page_owner(d: Domain, domid: u32): Domain | null {
  if (domid == DOMID_SELF) return d;
  return domid == d.domid ? null : domain_by_id(d, domid);
}
