/** Disks and their connections to VMs. */
import { setTimeout as sleep } from 'node:timers/promises';
import { NULL_REF } from '../../../../spec/xenapi/types.ts';
import type { Row } from '../../database/row.ts';
import { Failure } from '../../failure.ts';
import { CliFailure, mapOf, readBytes, readFloat } from '../arguments.ts';
import type { Shell } from '../shell.ts';
import { table } from './table.ts';

/** How often it is looked whether a guest has let a disk go. */
const POLL_MS = 250;

/** One of some words, whatever their case. */
function word(name: string, text: string, words: readonly string[]): string {
  const found = words.find((each) => each.toLowerCase() === text.toLowerCase());
  if (found !== undefined) return found;
  throw new CliFailure(`Unknown ${name}: ${text} (should be ${words.map((each) => `"${each.toLowerCase()}"`).join(' or ')})`); // prettier-ignore
}

async function createVbd(shell: Shell): Promise<void> {
  const vm = await shell.named('VM', 'vm-uuid');
  const empty = !shell.has('vdi-uuid');
  const VDI = empty ? NULL_REF : await shell.named('VDI', 'vdi-uuid');
  const type = word('type', shell.get('type') ?? 'Disk', ['CD', 'Disk', 'Floppy']);
  const mode = word('mode', shell.get('mode') ?? (type === 'CD' ? 'RO' : 'RW'), ['RO', 'RW']);
  if (type === 'Disk' && empty) throw new CliFailure('Empty VBDs can only be made for type=CD');
  const record = {
    ...{ VM: vm, VDI, userdevice: shell.needed('device'), bootable: shell.flag('bootable'), mode, type, empty },
    ...{ unpluggable: shell.flag('unpluggable', true), other_config: {} },
    ...{ qos_algorithm_type: '', qos_algorithm_params: {} },
  };
  await shell.made('VBD', await shell.call('VBD.create', record));
}

async function unplug(shell: Shell): Promise<void> {
  const vbd = shell.row('VBD', await shell.named('VBD'));
  const seconds = readFloat('timeout', shell.get('timeout') ?? '0');
  const late = performance.now() + seconds * 1000;
  try {
    await shell.call(shell.flag('force') ? 'VBD.unplug_force' : 'VBD.unplug', vbd.ref);
  } catch (error) {
    if (!(error instanceof Failure) || error.code !== 'DEVICE_DETACH_REJECTED') throw error;
    while (!vbd.gone && vbd.flag('currently_attached')) {
      if (performance.now() >= late || shell.origin.signal.aborted) throw error;
      await sleep(POLL_MS);
    }
  }
}

async function createVdi(shell: Shell): Promise<void> {
  const record = {
    ...{ SR: await shell.named('SR', 'sr-uuid'), name_label: shell.needed('name-label'), name_description: '' },
    ...{ virtual_size: readBytes('virtual-size', shell.needed('virtual-size')), type: shell.get('type') ?? 'user' },
    ...{ sharable: shell.flag('sharable'), read_only: false, other_config: {}, xenstore_data: {} },
    ...{ sm_config: mapOf(shell.params, 'sm-config'), tags: Object.keys(mapOf(shell.params, 'tags')) },
  };
  await shell.made('VDI', await shell.call('VDI.create', record));
}

async function introduce(shell: Shell): Promise<void> {
  const uuid = shell.needed('uuid');
  const [sr, map] = [await shell.named('SR', 'sr-uuid'), (name: string) => mapOf(shell.params, name)];
  const names = [shell.get('name-label') ?? '', shell.get('name-description') ?? ''];
  const flags = [shell.flag('sharable'), shell.flag('read-only')];
  const place = [map('other-config'), shell.needed('location'), map('xenstore-data'), map('sm-config')];
  const vdi = await shell.call('VDI.introduce', uuid, ...names, sr, shell.needed('type'), ...flags, ...place, shell.flag('managed', true)); // prettier-ignore
  await shell.made('VDI', vdi);
}

async function copy(shell: Shell): Promise<void> {
  const vdi = await shell.named('VDI');
  const [sr, into] = [shell.has('sr-uuid'), shell.has('into-vdi-uuid')];
  if (sr === into)
    throw new CliFailure('Name one of them: sr-uuid, where a new disk is made, or into-vdi-uuid, a disk to copy into.');
  const named = (of: string, name: string): Promise<string> =>
    shell.has(name) ? shell.named(of, name) : Promise.resolve(NULL_REF);
  const [to, base, target] = [await named('SR', 'sr-uuid'), await named('VDI', 'base-vdi-uuid'), await named('VDI', 'into-vdi-uuid')]; // prettier-ignore
  await shell.made('VDI', await shell.call('VDI.copy', vdi, to, base, target));
}

async function clone(shell: Shell): Promise<void> {
  const vdi = await shell.named('VDI');
  const made = (await shell.call('VDI.clone', vdi, mapOf(shell.params, 'driver-params'))) as string;
  for (const [param, field] of [
    ['new-name-label', 'name_label'],
    ['new-name-description', 'name_description'],
  ]) {
    const value = shell.get(param);
    if (value !== undefined) await shell.call(`VDI.set_${field}`, made, value);
  }
  await shell.made('VDI', made);
}

async function status(shell: Shell): Promise<void> {
  const vdi = shell.row('VDI', await shell.named('VDI'));
  await table(shell, 'vdi', [vdi], 'uuid name-label sr-uuid read-only sharable storage-lock');
  const vbds = vdi.refs('VBDs').map((ref) => shell.row('VBD', ref));
  const show = async (what: string, some: Row[]): Promise<void> => {
    await shell.printer.list([what]);
    await table(shell, 'vbd', some, 'uuid userdevice device empty mode type storage-lock');
  };
  const [active, idle] = [true, false].map((on) => vbds.filter((vbd) => vbd.flag('currently_attached') === on));
  if (active.length === 0) await shell.printer.list(['no active VBDs.']);
  else await show('active VBDs:', active);
  if (idle.length > 0) await show('inactive VBDs:', idle);
}

export const disk = {
  'vbd-create': createVbd,
  'vbd-unplug': unplug,
  'vdi-create': createVdi,
  'vdi-introduce': introduce,
  'vdi-resize': async (shell: Shell) => {
    const [vdi, size] = [await shell.named('VDI'), readBytes('disk-size', shell.needed('disk-size'))];
    await shell.call(shell.flag('online') ? 'VDI.resize_online' : 'VDI.resize', vdi, size);
  },
  'vdi-copy': copy,
  'vdi-clone': clone,
  'vdi-unlock': async (shell: Shell) => {
    shell.mustForce();
    await shell.call('VDI.force_unlock', await shell.named('VDI'));
  },
  'diagnostic-vdi-status': status,
};
