/** Makes the disks of a VM that was cloned from a template. */
import { SaxesParser } from 'saxes';
import { NULL_REF } from '../../../spec/xenapi/types.ts';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import type { Task } from '../task/tasks.ts';
import type { Xapi } from '../xapi.ts';
import { without } from './create.ts';
import { fill, imageFile, imageSize } from './image.ts';

/** A disk goes with its VM (`xe vm-uninstall`) if its VBD has this note. */
export const OWNER = 'owner';

interface Wanted {
  device: string;
  size: number;
  sr: string;
  bootable: boolean;
  type: string;
  /** What it begins with, in the host's folder of images. */
  image: string | undefined;
}

/** The disks that a template describes in `other_config`, as XML: `<provision><disk device="0" size="…" sr="" bootable="true"/></provision>`. */
function wantedDisks(vm: Row): Wanted[] {
  const text = vm.map('other_config').disks;
  if (text === undefined) return [];
  const disks: Wanted[] = [];
  const parser = new SaxesParser();
  const bad = (): never => {
    throw new Failure('PROVISION_FAILED_XML', 'the disks of the template are not described as they should be');
  };
  parser.on('error', bad);
  parser.on('doctype', bad);
  parser.on('opentag', ({ name, attributes }) => {
    if (name !== 'disk') return;
    const given = attributes as Record<string, string>;
    const { device = '', size = '', sr = '', bootable = 'false', type = 'system', image } = given;
    if (!/^\d+$/.test(size) || !/^\d{1,2}$/.test(device) || !['system', 'user', 'ephemeral'].includes(type)) bad();
    disks.push({ device, size: Number(size), sr, bootable: bootable === 'true', type, image });
  });
  parser.write(text).close();
  return disks;
}

async function make(
  xapi: Xapi,
  vm: Row,
  wanted: Wanted,
  path: string | undefined,
  made: Row[],
  task: Task,
): Promise<void> {
  const { db, storage } = xapi;
  const { device, size, sr, bootable, type } = wanted;
  const place = sr === '' ? db.row('SR', xapi.pool.text('default_SR')) : db.byUuid('SR', sr);
  const vdi = await storage.create(place, {
    ...{ name_label: vm.text('name_label'), name_description: 'Made by a template', type },
    ...{ virtual_size: path === undefined ? size : Math.max(size, await imageSize(path)) },
    ...{ sm_config: {}, sharable: false, read_only: false },
  });
  made.push(vdi);
  if (path !== undefined) await fill(xapi, vdi, path, task);
  db.create('VBD', {
    ...{ VM: vm.ref, VDI: vdi.ref, userdevice: device, bootable, mode: 'RW', type: 'Disk', empty: false },
    other_config: { [OWNER]: '' },
  });
}

export async function provision(xapi: Xapi, vm: Row, task: Task): Promise<void> {
  const { db, storage } = xapi;
  const made: Row[] = [];
  try {
    // What there is not is told before anything is made.
    const wanted = wantedDisks(vm).map((disk): [Wanted, string | undefined] => {
      if (disk.sr === '' && xapi.pool.text('default_SR') === NULL_REF)
        throw new Failure('DEFAULT_SR_NOT_FOUND', NULL_REF);
      return [disk, disk.image === undefined ? undefined : imageFile(xapi.images?.disks, disk.image)];
    });
    for (const [disk, path] of wanted) await make(xapi, vm, disk, path, made, task);
    db.set(vm, { is_a_template: false, other_config: without(vm.map('other_config'), 'disks') });
  } catch (error) {
    for (const vdi of made) await storage.destroy(vdi);
    throw error;
  }
}
