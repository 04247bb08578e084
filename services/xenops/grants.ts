// The grant references that a new domain finds taken: its console's ring and xenstore's are granted to whoever serves them.
import { GTF_permit_access } from '../../spec/abi/constants.ts';
import { make } from '../../spec/abi/layout.ts';
import { grantTable } from '../../spec/abi/structs/grant_table.ts';
import type { Hypercalls } from '../lib/hypercalls.ts';
import { WINDOW_AT } from './window.ts';

const PAGE = 4096;

/** Entry n, of version 1, is for the n-th owner (GNTTAB_RESERVED_CONSOLE is 0, GNTTAB_RESERVED_XENSTORE 1). */
export function seedGrants(dom0: Hypercalls, domid: number, owners: readonly [domid: number, frame: number][]): void {
  dom0.mapGrantTable(domid, WINDOW_AT);
  try {
    owners.forEach(([owner, frame], i) => {
      const { view, bytes } = make(grantTable.grant_entry_v1);
      view.flags = GTF_permit_access;
      view.domid = owner;
      view.frame = frame;
      dom0.mailbox.write(WINDOW_AT * PAGE + i * bytes.length, bytes);
    });
  } finally {
    dom0.unmap(WINDOW_AT, 1);
  }
}
