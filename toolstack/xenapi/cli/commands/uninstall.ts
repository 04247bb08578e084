/** Removes VMs with the disks that are theirs alone. */
import type { Row } from '../../database/row.ts';
import { OWNER } from '../../VM/provision.ts';
import type { Shell } from '../shell.ts';

function ownDisks(shell: Shell, vm: Row): Row[] {
  const { db } = shell.xapi;
  const vbds = vm.refs('VBDs').map((ref) => db.row('VBD', ref));
  const owned = vbds.filter((vbd) => Object.hasOwn(vbd.map('other_config'), OWNER));
  return [...owned.map((vbd) => vbd.text('VDI')), vm.text('suspend_VDI')]
    .map((ref) => db.find('VDI', ref))
    .filter((vdi) => vdi !== undefined);
}

function describe(vdi: Row): string {
  const shared = vdi.refs('VBDs').length > 1 ? ' ** WARNING: disk is shared by other VMs' : '';
  return `VDI: ${vdi.uuid} (${vdi.text('name_label')})${shared && ` ${shared.trim()}`}`;
}

export async function uninstall(shell: Shell, vms: readonly Row[]): Promise<void> {
  const all = vms.map((vm) => ({ vm, disks: ownDisks(shell, vm) }));
  await shell.print('The following items are about to be destroyed');
  for (const { vm, disks } of all) {
    await shell.print(`VM : ${vm.uuid} (${vm.text('name_label')})`);
    for (const vdi of disks) await shell.print(describe(vdi));
  }
  if (!shell.flag('force') && !(await shell.confirmed())) return;
  for (const { vm, disks } of all) {
    if (vm.text('power_state') !== 'Halted') await shell.call('VM.hard_shutdown', vm.ref);
    await shell.call('VM.destroy', vm.ref);
    for (const vdi of disks) if (!vdi.gone) await shell.call('VDI.destroy', vdi.ref);
  }
  await shell.print('All objects destroyed');
}
