import { NULL_REF } from '../../../spec/xenapi/types.ts';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import type { Xapi } from '../xapi.ts';
import type { DiskDescription } from '../xenops/xenops.ts';

/** What the guest calls it. */
export const deviceName = (vbd: Row): string => `xvd${String.fromCharCode(97 + Number(vbd.text('userdevice')))}`;

export function describeDisk(xapi: Xapi, vbd: Row): DiskDescription {
  const { db } = xapi;
  const vdi = db.find('VDI', vbd.text('VDI'));
  const cd = vbd.text('type') === 'CD';
  const readonly = cd || vbd.text('mode') === 'RO';
  const device = Number(vbd.text('userdevice'));
  if (!vdi) return { device, path: null, format: 'raw', readonly, cd };
  return { device, ...xapi.storage.image(vdi), readonly, cd, bootable: vbd.flag('bootable') };
}

/** Fails unless its disk is there and nobody else's. */
export function assertAttachable({ db, storage }: Xapi, vbd: Row): void {
  const ref = vbd.text('VDI');
  if (ref === NULL_REF) {
    if (vbd.text('type') !== 'CD') throw new Failure('VBD_IS_EMPTY', vbd.ref);
    return;
  }
  const vdi = db.row('VDI', ref);
  storage.assertAttached(db.row('SR', vdi.text('SR')));
  storage.assertIdle(vdi);
  storage.assertContents(vdi);
  if (vdi.flag('missing')) throw new Failure('VDI_MISSING', vdi.text('SR'), vdi.ref);
  const writes = vbd.text('mode') === 'RW' && vbd.text('type') !== 'CD';
  if (writes && vdi.flag('read_only')) throw new Failure('VDI_READONLY', vdi.ref);
  if (vdi.flag('sharable')) return;
  for (const each of vdi.refs('VBDs')) {
    const other = db.row('VBD', each);
    if (other === vbd || !other.flag('currently_attached')) continue;
    if (writes || other.text('mode') === 'RW') throw new Failure('VDI_IN_USE', vdi.ref, 'attach');
  }
}

/** Disks that the VM's guest would have. */
export function disksOf({ db }: Xapi, vm: Row): Row[] {
  return vm.refs('VBDs').flatMap((ref) => db.find('VDI', db.row('VBD', ref).text('VDI')) ?? []);
}

/** While their images are changed guests have these disks, but wait for what they ask of them. */
export function holdDisks<T>({ db, xenops }: Xapi, vdis: readonly Row[], act: () => Promise<T>): Promise<T> {
  const held = vdis
    .flatMap((vdi) => vdi.refs('VBDs').map((ref) => db.row('VBD', ref)))
    .filter((vbd) => vbd.flag('currently_attached'))
    .map((vbd) => ({ uuid: db.row('VM', vbd.text('VM')).uuid, device: Number(vbd.text('userdevice')) }));
  return held.length === 0 ? act() : xenops.whileHeld(held, act);
}
