/** Records of a VM's domain: what changes when it starts and ends. */
import { NULL_REF, type Value } from '../../../spec/xenapi/types.ts';
import type { Row } from '../database/row.ts';
import { timeText } from '../rpc/decode.ts';
import type { Xapi } from '../xapi.ts';
import { forgetConsoles, makeConsoles } from '../console/records.ts';
import { deviceName, disksOf } from '../VBD/attach.ts';
import { updateAllowed } from './operations.ts';

const DEVICES = { VBDs: 'VBD', VIFs: 'VIF', VUSBs: 'VUSB', VGPUs: 'VGPU' };

export function metricsOf({ db }: Xapi, vm: Row): Row {
  const found = db.find('VM_metrics', vm.text('metrics'));
  if (found) return found;
  const made = db.create('VM_metrics', {});
  db.set(vm, { metrics: made.ref });
  return made;
}

/** Its domain is gone. `again`: another is about to take its place, with the same consoles. */
export function halted(xapi: Xapi, vm: Row, again = false): void {
  const { db } = xapi;
  db.change(() => {
    for (const [field, name] of Object.entries(DEVICES))
      for (const ref of vm.refs(field)) db.set(db.row(name, ref), { currently_attached: false });
    if (!again) forgetConsoles(xapi, vm);
    const guest = db.find('VM_guest_metrics', vm.text('guest_metrics'));
    if (guest) db.destroy(guest);
    const now = timeText(Date.now());
    db.set(metricsOf(xapi, vm), { memory_actual: 0, VCPUs_number: 0, state: [], last_updated: now });
    const gone = { resident_on: NULL_REF, scheduled_to_be_resident_on: NULL_REF, domid: -1, requires_reboot: false };
    db.set(vm, { ...gone, power_state: 'Halted', guest_metrics: NULL_REF });
    updateAllowed(xapi, vm);
  });
  for (const vdi of disksOf(xapi, vm)) xapi.storage.released(vdi);
}

/** Its domain is there. */
export function running(xapi: Xapi, vm: Row, domid: number, paused: boolean, kind: string): void {
  const { db } = xapi;
  db.change(() => {
    const now = timeText(Date.now());
    const state = { power_state: paused ? 'Paused' : 'Running', domid, resident_on: xapi.hostRef };
    db.set(vm, { ...state, scheduled_to_be_resident_on: NULL_REF, last_booted_record: bootRecord(vm) });
    const vcpus = vm.number('VCPUs_at_startup');
    db.set(metricsOf(xapi, vm), {
      ...{ memory_actual: vm.number('memory_dynamic_max'), VCPUs_number: vcpus, start_time: now, last_updated: now },
      ...{ state: [paused ? 'paused' : 'running'], hvm: kind === 'hvm', nomigrate: true, current_domain_type: kind },
    });
    for (const ref of vm.refs('VIFs')) db.set(db.row('VIF', ref), { currently_attached: true });
    for (const ref of vm.refs('VBDs')) {
      const vbd = db.row('VBD', ref);
      db.set(vbd, { currently_attached: true, device: deviceName(vbd) });
    }
    makeConsoles(xapi, vm);
    updateAllowed(xapi, vm);
  });
}

/** The settings of this boot, which hold until the next. */
function bootRecord(vm: Row): string {
  const record: Record<string, Value> = {};
  for (const field of vm.schema.stored)
    if (!['last_booted_record', 'current_operations', 'allowed_operations'].includes(field))
      record[field] = vm.fields[field] as Value;
  return JSON.stringify(record);
}
