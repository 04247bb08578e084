import { NULL_REF } from '../../../spec/xenapi/types.ts';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import type { Handlers } from '../messages.ts';
import { freeDevices } from '../VM/messages.ts';
import type { Xapi } from '../xapi.ts';

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
};
