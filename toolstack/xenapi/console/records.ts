/** Records of a running VM's consoles. */
import { randomUUID } from 'node:crypto';
import type { Row } from '../database/row.ts';
import type { Xapi } from '../xapi.ts';

export const CONSOLE_PATH = '/console';

/** Of a VM whose domain has just been made; a reboot leaves them as they are. */
export function makeConsoles(xapi: Xapi, vm: Row): void {
  const { db, xenops } = xapi;
  const wanted = new Set(xenops.consoles(vm.uuid));
  for (const ref of vm.refs('consoles')) {
    const row = db.row('console', ref);
    const protocol = row.text('protocol') as 'rfb';
    if (wanted.delete(protocol)) db.set(row, { location: locationOf(xapi, row.uuid) });
    else db.destroy(row);
  }
  for (const protocol of wanted) {
    const uuid = randomUUID();
    db.create('console', { uuid, protocol, VM: vm.ref, location: locationOf(xapi, uuid) });
  }
}

export function forgetConsoles({ db }: Xapi, vm: Row): void {
  db.change(() => {
    for (const ref of vm.refs('consoles')) db.destroy(db.row('console', ref));
  });
}

const locationOf = ({ url }: Xapi, uuid: string): string => `${url}${CONSOLE_PATH}?uuid=${uuid}`;
