/** Commands of VMs and templates. */
import { NULL_REF } from '../../../../spec/xenapi/types.ts';
import type { Row } from '../../database/row.ts';
import { CONSOLE_PATH } from '../../console/records.ts';
import { Failure } from '../../failure.ts';
import { CliFailure, mapOf } from '../arguments.ts';
import { onVms, selectVms } from '../select.ts';
import type { Shell } from '../shell.ts';
import { table } from './table.ts';
import { installDisks } from './install.ts';
import { uninstall } from './uninstall.ts';

const MIB = 2 ** 20;
const NEW = new Set(['new-name-label', 'new-name-description', 'ignore-vdi-uuids', 'sr-uuid']);
type Copy = (vm: Row) => Promise<string>;

/** Makes VMs of those selected, and shows their UUIDs. */
async function copies(shell: Shell, flags: string[], copy: Copy): Promise<void> {
  const made = await onVms(shell, (_, vm) => copy(vm), NEW, new Set(flags));
  const about = shell.get('new-name-description');
  if (about !== undefined) await shell.call('VM.set_name_description', made[0], about);
  await shell.printer.list(made.map((ref) => shell.row('VM', ref).uuid));
}

async function hostNamed(shell: Shell, name: string): Promise<string> {
  const found = (await shell.all('host')).find((row) => row.uuid === name || row.text('name_label') === name);
  if (!found) throw new CliFailure(`Host ${name} not found`);
  return found.ref;
}

async function start(shell: Shell, vm: Row): Promise<void> {
  const options = [shell.flag('paused'), shell.flag('force')];
  const on = shell.get('on');
  if (on === undefined) await shell.work('VM.start', vm.ref, ...options);
  else await shell.work('VM.start_on', vm.ref, await hostNamed(shell, on), ...options);
}

/** A template by its UUID or name. */
async function templateOf(shell: Shell): Promise<Row> {
  const rows = (await shell.all('VM')).filter((row) => !row.flag('is_control_domain'));
  const uuid = shell.get('template-uuid');
  const name = shell.get('template-name-label') ?? shell.get('template-name') ?? shell.get('template');
  const byUuid = rows.find((row) => row.uuid === (uuid ?? shell.get('template')));
  if (uuid !== undefined && !byUuid) throw new CliFailure('Cannot find template');
  if (byUuid) {
    if (!byUuid.flag('is_a_template')) throw new CliFailure('Can only install from templates');
    return byUuid;
  }
  if (name === undefined)
    throw new CliFailure("Template must be specified by parameter 'template-uuid', 'template-name', 'template-name-label' or 'template'"); // prettier-ignore
  const named = rows.filter((row) => row.flag('is_a_template') && row.text('name_label') === name);
  if (named.length === 0) throw new CliFailure('No templates matched');
  if (named.length > 1) throw new CliFailure('More than one matching template found');
  return named[0];
}

/** The storage repository that is asked for. */
async function storageOf(shell: Shell): Promise<string | undefined> {
  const [uuid, name] = [shell.get('sr-uuid'), shell.get('sr-name-label')];
  const byUuid = uuid === undefined ? undefined : await shell.byUuid('SR', uuid);
  if (name === undefined) return byUuid;
  const named = (await shell.call('SR.get_by_name_label', name)) as string[];
  if (named.length === 0) throw new CliFailure('No SR with that name-label found');
  if (byUuid !== undefined) {
    if (named.includes(byUuid)) return byUuid;
    throw new CliFailure("SR specified via sr-uuid doesn't have the name specified via sr-name-label");
  }
  if (named.length > 1) throw new CliFailure('Multiple SRs with that name-label found');
  return named[0];
}

async function install(shell: Shell): Promise<void> {
  const template = await templateOf(shell);
  const name = shell.needed('new-name-label');
  const sr = await storageOf(shell);
  if (template.flag('is_a_snapshot') && sr !== undefined)
    throw new CliFailure('A snapshot is installed where its disks are: leave sr-uuid and sr-name-label out.');
  const fallback = shell.xapi.pool.text('default_SR');
  const place = sr ?? fallback;
  if (place === NULL_REF && template.map('other_config').disks !== undefined)
    throw new CliFailure('Failed to find a valid default SR for the Pool. Please provide an sr-name-label or sr-uuid parameter.'); // prettier-ignore
  const vm = (
    sr === undefined
      ? await shell.call('VM.clone', template.ref, name)
      : await shell.call('VM.copy', template.ref, name, sr)
  ) as string;
  try {
    await shell.call('VM.set_name_description', vm, 'Installed via xe CLI');
    if (place !== NULL_REF) await installDisks(shell, vm, shell.row('SR', place).uuid);
    await shell.call('VM.provision', vm);
    const host = shell.get('copy-bios-strings-from');
    if (host !== undefined) await shell.call('VM.copy_bios_strings', vm, await shell.byUuid('host', host));
  } catch (error) {
    await shell.call('VM.destroy', vm).catch((again: Error) => {
      if (!(again instanceof Failure)) throw again;
    });
    throw error;
  }
  await shell.made('VM', vm);
}

async function create(shell: Shell): Promise<void> {
  const record = {
    ...{ name_label: shell.needed('name-label'), name_description: shell.get('name-description') ?? '' },
    ...{
      user_version: 0,
      is_a_template: false,
      affinity: NULL_REF,
      VCPUs_params: {},
      VCPUs_max: 1,
      VCPUs_at_startup: 1,
    },
    ...{ memory_static_max: 256 * MIB, memory_dynamic_max: 256 * MIB, memory_dynamic_min: 128 * MIB, memory_static_min: 128 * MIB }, // prettier-ignore
    ...{ actions_after_shutdown: 'destroy', actions_after_reboot: 'restart', actions_after_crash: 'destroy' },
    ...{ PV_bootloader: '', PV_kernel: '', PV_ramdisk: '', PV_args: '', PV_bootloader_args: '', PV_legacy_args: '' },
    ...{ HVM_boot_policy: '', HVM_boot_params: {}, platform: {}, PCI_bus: '', other_config: {}, recommendations: '' },
  };
  await shell.made('VM', await shell.call('VM.create', record));
}

async function connect(shell: Shell): Promise<void> {
  const vms = await selectVms(shell, new Set(), new Set(['dom0']));
  if (vms.length === 0) await shell.fail('No VM found');
  if (vms.length > 1) await shell.fail('Multiple VMs found: please narrow your request to one VM.');
  const [vm] = vms;
  const consoles = vm.refs('consoles').map((ref) => shell.row('console', ref));
  const text = consoles.find((each) => each.text('protocol') === 'vt100');
  if (!text) return shell.fail('No text console available');
  await shell.print(`Connecting to console on VM ${vm.text('name_label')}. Press Ctrl + ']' to quit.`);
  // A path, not its location: whatever way the client has found to this host leads to the console as well.
  const url = `${CONSOLE_PATH}?uuid=${text.uuid}&session_id=${shell.session}`;
  await shell.send({ kind: 'HttpConnect', text: url });
  if (!(await shell.response())) throw new CliFailure('Failure');
}

async function migrate(shell: Shell): Promise<void> {
  const name = shell.get('host') ?? shell.get('host-uuid') ?? shell.get('host-name');
  if (shell.has('remote-master')) throw new Failure('NOT_IMPLEMENTED', 'VM.migrate_send');
  if (name === undefined) throw new CliFailure('No destination host specified');
  const host = await hostNamed(shell, name);
  const options = Object.fromEntries(['force', 'live', 'copy'].map((each) => [each, String(shell.flag(each))]));
  const own = new Set('host host-uuid host-name live force copy compress'.split(' '));
  await onVms(shell, async (_, vm) => void (await shell.call('VM.pool_migrate', vm.ref, host, options)), own);
}

async function bootReport(shell: Shell, vm: Row): Promise<void> {
  await shell.printer.list(['Checking to see whether VM can boot on each host']);
  const report: [string, string][] = [];
  for (const host of await shell.all('host')) report.push([host.text('name_label'), await verdict(shell, vm, host)]);
  await shell.printer.table([report]);
}

async function verdict(shell: Shell, vm: Row, host: Row): Promise<string> {
  try {
    await shell.call('VM.assert_can_boot_here', vm.ref, host.ref);
    return 'OK';
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return `Cannot start here [${error.code}: ${error.params.map((each) => shell.described(each)).join('; ')}]`;
  }
}

async function status(shell: Shell): Promise<void> {
  const vm = shell.row('VM', await shell.named('VM'));
  await table(shell, 'vm', [vm], 'uuid name-label power-state possible-hosts');
  await shell.printer.list(['Checking to see whether disks are attachable']);
  const vbds = vm.refs('VBDs').map((ref) => shell.row('VBD', ref));
  await table(shell, 'vbd', vbds, 'uuid userdevice device vdi-uuid empty mode type storage-lock attachable');
  await bootReport(shell, vm);
}

export const vm = {
  'vm-start': start,
  'vm-shutdown': (shell: Shell, row: Row) => shell.work(shell.flag('force') ? 'VM.hard_shutdown' : 'VM.clean_shutdown', row.ref), // prettier-ignore
  'vm-reboot': (shell: Shell, row: Row) => shell.work(shell.flag('force') ? 'VM.hard_reboot' : 'VM.clean_reboot', row.ref), // prettier-ignore
  'vm-reset-powerstate': async (shell: Shell, row: Row) => {
    shell.mustForce();
    await shell.call('VM.power_state_reset', row.ref);
  },
  'vm-clone': (shell: Shell) =>
    copies(shell, ['templates'], async (row) => (await shell.call('VM.clone', row.ref, shell.needed('new-name-label'))) as string), // prettier-ignore
  'vm-copy': async (shell: Shell) => {
    const uuid = shell.get('sr-uuid');
    const sr = uuid === undefined ? NULL_REF : await shell.byUuid('SR', uuid);
    const name = shell.needed('new-name-label');
    await copies(shell, ['templates', 'single'], async (row) => (await shell.call('VM.copy', row.ref, name, sr)) as string); // prettier-ignore
  },
  'vm-snapshot': (shell: Shell) =>
    copies(shell, [], async (row) => (await shell.call('VM.snapshot', row.ref, shell.needed('new-name-label'))) as string), // prettier-ignore
  'vm-checkpoint': (shell: Shell) =>
    copies(shell, [], async (row) => (await shell.call('VM.checkpoint', row.ref, shell.needed('new-name-label'))) as string), // prettier-ignore
  'vm-install': install,
  'vm-create': create,
  'vm-destroy': async (shell: Shell) => {
    const row = shell.row('VM', await shell.named('VM'));
    if (row.flag('is_control_domain'))
      throw new Failure('OPERATION_NOT_ALLOWED', 'You cannot destroy a control domain via the CLI');
    await shell.call('VM.destroy', row.ref);
  },
  'vm-uninstall': async (shell: Shell) => {
    const vms = await onVms(shell, (_, row) => Promise.resolve(row), new Set());
    const frozen = vms.flatMap((row) => row.refs('snapshots').map((ref) => shell.row('VM', ref)));
    await uninstall(shell, [...vms, ...frozen]);
  },
  'template-uninstall': async (shell: Shell) => {
    const row = shell.row('VM', await shell.named('VM', 'template-uuid'));
    if (!row.flag('is_a_template'))
      throw new CliFailure(`This operation can only be performed on a VM template. ${row.uuid} is not a VM template.`);
    await uninstall(shell, [row]);
  },
  console: connect,
  'vm-migrate': migrate,
  'vm-crashdump-list': (shell: Shell, row: Row) =>
    table(shell, 'crashdump', row.refs('crash_dumps').map((ref) => shell.row('crashdump', ref)), ''), // prettier-ignore
  'vm-vif-list': (shell: Shell, row: Row) =>
    table(shell, 'vif', row.refs('VIFs').map((ref) => shell.row('VIF', ref)), 'uuid device MAC currently-attached network-uuid network-name-label', shell.get('params')), // prettier-ignore
  'vm-is-bios-customized': async (shell: Shell, row: Row) => {
    const made = Object.keys(row.map('bios_strings')).length > 0;
    await shell.printer.message(made ? 'The BIOS strings of the VM are its own.' : 'The VM has no BIOS strings.');
  },
  'vm-call-plugin': async (shell: Shell) => {
    const vm = await shell.named('VM', 'vm-uuid');
    const [plugin, fn] = [shell.needed('plugin'), shell.needed('fn')];
    await shell.printer.list([
      (await shell.call('VM.call_plugin', vm, plugin, fn, mapOf(shell.params, 'args'))) as string,
    ]);
  },
  'diagnostic-vm-status': status,
};
