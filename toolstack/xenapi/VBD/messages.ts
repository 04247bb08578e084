import { NULL_REF } from '../../../spec/xenapi/types.ts';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import type { Handlers } from '../messages.ts';
import { freeDevices } from '../VM/messages.ts';
import type { Xapi } from '../xapi.ts';
import { assertAttachable, describeDisk, deviceName } from './attach.ts';

/** `0` and `xvda` and `hda` are one position. */
function position(device: string): string {
  const letter = /^(?:xvd|hd|sd)([a-p])$/.exec(device)?.[1];
  return letter ? String(letter.charCodeAt(0) - 97) : device;
}

function positionFor(xapi: Xapi, vm: Row, wanted: string): string {
  const free = freeDevices(xapi, vm, 'VBD');
  const at = wanted === 'autodetect' ? free[0] : position(wanted);
  if (at === undefined || !/^(\d|1[0-5])$/.test(at)) throw new Failure('INVALID_DEVICE', wanted);
  if (!free.includes(at)) throw new Failure('DEVICE_ALREADY_EXISTS', at);
  return at;
}

/** The machine it belongs to, which has to run. */
function live(xapi: Xapi, vbd: Row): Row {
  const vm = xapi.db.row('VM', vbd.text('VM'));
  const state = vm.text('power_state');
  if (state !== 'Running' && state !== 'Paused')
    throw new Failure('VM_BAD_POWER_STATE', vm.ref, 'running', state.toLowerCase());
  return vm;
}

/** What is in it now. */
const disksIn = ({ db }: Xapi, vbd: Row): Row[] => {
  const vdi = db.find('VDI', vbd.text('VDI'));
  return vdi ? [vdi] : [];
};

async function unplug(xapi: Xapi, vbd: Row, force: boolean): Promise<void> {
  if (!vbd.flag('currently_attached')) throw new Failure('DEVICE_ALREADY_DETACHED', vbd.ref);
  const vm = live(xapi, vbd);
  if (!vbd.flag('unpluggable') && !force) throw new Failure('OPERATION_NOT_ALLOWED', 'this VBD is not unpluggable');
  try {
    await xapi.xenops.unplugDisk(vm.uuid, Number(vbd.text('userdevice')), force);
  } catch (error) {
    if (force || !(error instanceof Failure)) throw error;
    throw new Failure('DEVICE_DETACH_REJECTED', 'VBD', vbd.ref, error.params[0] ?? '');
  }
  xapi.db.set(vbd, { currently_attached: false, device: '' });
  for (const vdi of disksIn(xapi, vbd)) xapi.storage.released(vdi);
}

async function changeDisc(xapi: Xapi, vbd: Row, vdi: string): Promise<void> {
  const before = { VDI: vbd.text('VDI'), empty: vbd.flag('empty') };
  xapi.db.set(vbd, { VDI: vdi, empty: vdi === NULL_REF });
  if (!vbd.flag('currently_attached')) return;
  try {
    const { uuid } = live(xapi, vbd);
    await xapi.storage.opening(disksIn(xapi, vbd), () => xapi.xenops.changeCd(uuid, describeDisk(xapi, vbd)));
  } catch (error) {
    xapi.db.set(vbd, before);
    throw error;
  }
}

export const VBD: Handlers = {
  'VBD.create': (args, { xapi }) => {
    const { db } = xapi;
    const given = args.record('args');
    const vm = db.row('VM', given.VM as string);
    const [vdi, empty] = [given.VDI as string, given.empty as boolean];
    if (empty && given.type !== 'CD') throw new Failure('VBD_IS_EMPTY', NULL_REF);
    if (!empty && vdi === NULL_REF) throw new Failure('HANDLE_INVALID', 'VDI', vdi);
    if (given.type === 'CD' && given.mode === 'RW') throw new Failure('VBD_CDS_MUST_BE_READONLY');
    const userdevice = positionFor(xapi, vm, given.userdevice as string);
    return db.create('VBD', {
      ...given,
      ...{ userdevice, VDI: empty ? NULL_REF : vdi, device: '', currently_attached: false },
      ...{ allowed_operations: ['attach'], runtime_properties: {} },
    }).ref;
  },
  'VBD.destroy': (args, { xapi }) => {
    const vbd = args.row('self');
    if (vbd.flag('currently_attached'))
      throw new Failure('OPERATION_NOT_ALLOWED', `VBD '${vbd.ref}' is still attached`);
    xapi.db.destroy(vbd);
  },
  'VBD.assert_attachable': (args, { xapi }) => assertAttachable(xapi, args.row('self')),
  'VBD.set_mode': (args, { xapi }) => {
    const vbd = args.row('self');
    if (vbd.flag('currently_attached')) throw new Failure('DEVICE_ALREADY_ATTACHED', vbd.ref);
    if (vbd.text('type') === 'CD' && args.text('value') === 'RW') throw new Failure('VBD_CDS_MUST_BE_READONLY');
    xapi.db.set(vbd, { mode: args.text('value') });
  },
  'VBD.plug': async (args, { xapi }) => {
    const vbd = args.row('self');
    if (vbd.flag('currently_attached')) throw new Failure('DEVICE_ALREADY_ATTACHED', vbd.ref);
    const vm = live(xapi, vbd);
    assertAttachable(xapi, vbd);
    const disk = describeDisk(xapi, vbd);
    // Before anybody else looks at the disk.
    xapi.db.set(vbd, { currently_attached: true, device: deviceName(vbd) });
    try {
      await xapi.storage.opening(disksIn(xapi, vbd), () => xapi.xenops.plugDisk(vm.uuid, disk));
    } catch (error) {
      xapi.db.set(vbd, { currently_attached: false, device: '' });
      throw error;
    }
  },
  'VBD.unplug': (args, { xapi }) => unplug(xapi, args.row('self'), false),
  'VBD.unplug_force': (args, { xapi }) => unplug(xapi, args.row('self'), true),
  'VBD.insert': async (args, { xapi }) => {
    const [vbd, vdi] = [args.row('vbd'), args.row('vdi')];
    if (vbd.text('type') !== 'CD') throw new Failure('VBD_NOT_REMOVABLE_MEDIA', vbd.ref);
    if (!vbd.flag('empty')) throw new Failure('VBD_NOT_EMPTY', vbd.ref);
    xapi.storage.assertAttached(xapi.db.row('SR', vdi.text('SR')));
    await changeDisc(xapi, vbd, vdi.ref);
  },
  'VBD.eject': async (args, { xapi }) => {
    const vbd = args.row('vbd');
    if (vbd.text('type') !== 'CD') throw new Failure('VBD_NOT_REMOVABLE_MEDIA', vbd.ref);
    if (vbd.flag('empty')) throw new Failure('VBD_IS_EMPTY', vbd.ref);
    await changeDisc(xapi, vbd, NULL_REF);
  },
};
