/** Machines that are in a database and want their storage: what recovery after a disaster looks at. */
import { NULL_REF } from '../../../spec/xenapi/types.ts';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import type { Handlers } from '../messages.ts';
import type { Xapi } from '../xapi.ts';

/** SRs that a machine's disks lie in. */
export function storageOf({ db }: Xapi, vm: Row): string[] {
  const srs = vm.refs('VBDs').map((ref) => db.find('VDI', db.row('VBD', ref).text('VDI'))?.text('SR') ?? NULL_REF);
  return [...new Set(srs.filter((sr) => sr !== NULL_REF))];
}

/** Fails unless all of it is plugged into this host. */
export function assertStorage(xapi: Xapi, vm: Row): void {
  const { db } = xapi;
  for (const ref of storageOf(xapi, vm)) {
    const plugged = db.row('SR', ref).refs('PBDs').some((pbd) => db.row('PBD', pbd).flag('currently_attached')); // prettier-ignore
    if (!plugged) throw new Failure('VM_REQUIRES_SR', vm.ref, ref);
  }
}

export function assertRecoverable(xapi: Xapi, vm: Row): void {
  const appliance = vm.text('appliance');
  if (appliance !== NULL_REF) throw new Failure('VM_IS_PART_OF_AN_APPLIANCE', vm.ref, appliance);
  assertStorage(xapi, vm);
}

export const recovery: Handlers = {
  'VM.get_SRs_required_for_recovery': (args, { xapi }) => storageOf(xapi, args.row('self')),
  'VM.assert_can_be_recovered': (args, { xapi }) => {
    args.row('session_to');
    assertRecoverable(xapi, args.row('self'));
  },
  'VM_appliance.get_SRs_required_for_recovery': (args, { xapi }) => {
    args.row('session_to');
    const vms = args.row('self').refs('VMs').map((ref) => xapi.db.row('VM', ref)); // prettier-ignore
    return [...new Set(vms.flatMap((vm) => storageOf(xapi, vm)))];
  },
  'VM_appliance.assert_can_be_recovered': (args, { xapi }) => {
    args.row('session_to');
    for (const ref of args.row('self').refs('VMs')) assertStorage(xapi, xapi.db.row('VM', ref));
  },
};
