/** Disks and discs of VMs. */
import { NULL_REF } from '../../../../spec/xenapi/types.ts';
import type { Row } from '../../database/row.ts';
import { Failure } from '../../failure.ts';
import { OWNER } from '../../VM/provision.ts';
import { CliFailure, readBytes } from '../arguments.ts';
import type { Shell } from '../shell.ts';
import { snapshotOf } from './snapshot.ts';
import { table } from './table.ts';

const vbdsOf = (shell: Shell, vm: Row): Row[] => vm.refs('VBDs').map((ref) => shell.row('VBD', ref));
const drives = (shell: Shell, vm: Row): Row[] => vbdsOf(shell, vm).filter((vbd) => vbd.text('type') === 'CD');

async function list(shell: Shell, vm: Row, cd: boolean): Promise<void> {
  const vbds = vbdsOf(shell, vm).filter((vbd) => vbd.text('type') === (cd ? 'CD' : 'Disk'));
  let number = 0;
  for (const vbd of vbds) {
    const what = `${cd ? 'CD' : 'Disk'} ${number++}`;
    await shell.printer.message(`${what} VBD:`);
    const shown = `uuid vm-name-label userdevice${cd ? ' empty' : ''}`;
    await table(shell, 'vbd', [vbd], shown, shell.get('vbd-params'));
    const vdi = shell.xapi.db.find('VDI', vbd.text('VDI'));
    if (!vdi) continue;
    await shell.printer.message(`${what} VDI:`);
    await table(shell, 'vdi', [vdi], 'uuid name-label virtual-size sr-name-label', shell.get('vdi-params'));
  }
}

/** Makes a VBD, and plugs it in where it can be. */
async function attach(shell: Shell, vm: Row, vdi: string, values: Record<string, unknown>): Promise<void> {
  const record = {
    ...{ VM: vm.ref, VDI: vdi, bootable: false, unpluggable: true, empty: false, other_config: {} },
    ...{ qos_algorithm_type: '', qos_algorithm_params: {}, userdevice: shell.needed('device') },
    ...values,
  };
  const vbd = await shell.call('VBD.create', record);
  if (vm.text('power_state') !== 'Running') return;
  try {
    await shell.call('VBD.plug', vbd);
  } catch (error) {
    // It is there at the next start.
    if (!(error instanceof Failure)) throw error;
    shell.xapi.log(`xe: a VBD of VM ${vm.uuid} could not be plugged in: ${error.code}`);
  }
}

async function add(shell: Shell, vm: Row): Promise<void> {
  const size = readBytes('disk-size', shell.needed('disk-size'));
  const uuid = shell.get('sr-uuid');
  const sr = uuid === undefined ? shell.xapi.pool.text('default_SR') : await shell.byUuid('SR', uuid);
  if (sr === NULL_REF) throw new CliFailure('No default Pool SR set; you must specify an SR on the commandline');
  const vdi = (await shell.call('VDI.create', {
    ...{ name_label: 'Created by xe', name_description: 'Created by xe', SR: sr, virtual_size: size, type: 'user' },
    ...{ sharable: false, read_only: false, other_config: {}, xenstore_data: {}, sm_config: {}, tags: [] },
  })) as string;
  try {
    await attach(shell, vm, vdi, { mode: 'RW', type: 'Disk', other_config: { [OWNER]: '' } });
  } catch (error) {
    await shell.call('VDI.destroy', vdi);
    throw error;
  }
}

async function remove(shell: Shell, vm: Row): Promise<void> {
  const device = shell.needed('device');
  const vbd = vbdsOf(shell, vm).find((each) => each.text('userdevice') === device);
  if (!vbd) throw new CliFailure('Disk not found');
  const vdi = vbd.text('VDI');
  await shell.call('VBD.destroy', vbd.ref);
  if (vdi !== NULL_REF) await shell.call('VDI.destroy', vdi);
}

/** Discs of that name. */
async function discs(shell: Shell): Promise<Row[]> {
  const name = shell.needed('cd-name');
  const { db } = shell.xapi;
  const found = (await shell.all('VDI')).filter(
    (vdi) => vdi.text('name_label') === name && db.find('SR', vdi.text('SR'))?.text('content_type') === 'iso',
  );
  if (found.length === 0) throw new CliFailure(`CD ${name} not found!`);
  return found;
}

async function insert(shell: Shell, vm: Row): Promise<void> {
  const found = await discs(shell);
  if (found.length > 1)
    throw new CliFailure(`Multiple CDs named ${shell.needed('cd-name')} found. Please use vbd-insert and specify uuids`); // prettier-ignore
  const empty = drives(shell, vm).filter((vbd) => vbd.flag('empty'));
  if (empty.length === 0) throw new Failure('VM_NO_EMPTY_CD_VBD', vm.ref);
  if (empty.length > 1) throw new CliFailure('Two or more empty CD devices found. Please use vbd-insert');
  await shell.call('VBD.insert', empty[0].ref, found[0].ref);
}

async function eject(shell: Shell, vm: Row): Promise<void> {
  const found = drives(shell, vm);
  if (found.length === 0) throw new CliFailure('No CDs found');
  if (found.length > 1) throw new CliFailure('Two or more CDs found. Please use vbd-eject');
  await shell.call('VBD.eject', found[0].ref);
}

async function removeDrive(shell: Shell, vm: Row): Promise<void> {
  const name = shell.needed('cd-name');
  const { db } = shell.xapi;
  const holds = (vbd: Row): boolean => {
    if (vbd.flag('empty')) return name === '<EMPTY>';
    return db.find('VDI', vbd.text('VDI'))?.text('name_label') === name;
  };
  const vbd = drives(shell, vm).find(holds);
  if (!vbd) throw new CliFailure('Disk not found');
  await shell.call('VBD.destroy', vbd.ref);
}

export const vmDisk = {
  'vm-disk-list': (shell: Shell, vm: Row) => list(shell, vm, false),
  'vm-cd-list': (shell: Shell, vm: Row) => list(shell, vm, true),
  'snapshot-disk-list': async (shell: Shell) => list(shell, await snapshotOf(shell), false),
  'vm-disk-add': add,
  'vm-disk-remove': remove,
  'vm-cd-add': async (shell: Shell, vm: Row) =>
    attach(shell, vm, (await discs(shell))[0].ref, { mode: 'RO', type: 'CD' }),
  'vm-cd-remove': removeDrive,
  'vm-cd-eject': eject,
  'vm-cd-insert': insert,
  'cd-list': async (shell: Shell) => {
    const { db } = shell.xapi;
    const isDisc = (vdi: Row): boolean => db.find('SR', vdi.text('SR'))?.text('content_type') === 'iso';
    await table(shell, 'vdi', (await shell.all('VDI')).filter(isDisc), 'uuid name-label', shell.get('params'));
  },
};
