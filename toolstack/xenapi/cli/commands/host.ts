/** Hosts. */
import { RECORDS } from '../../../../spec/xenapi/cli/records.ts';
import type { Row } from '../../database/row.ts';
import { mapOf } from '../arguments.ts';
import type { Record as Shown } from '../printer.ts';
import { chosen, record } from '../records.ts';
import type { Shell } from '../shell.ts';

async function careful(shell: Shell, method: string, warnings: string[]): Promise<void> {
  const host = await shell.named('host');
  if (!shell.flag('force')) {
    for (const each of warnings) await shell.print(`WARNING: ${each}`);
    if (!(await shell.confirmed())) return;
  }
  await shell.call(method, host);
}

async function preventing(shell: Shell): Promise<void> {
  const host = await shell.named('host');
  const found = (await shell.call('host.get_vms_which_prevent_evacuation', host)) as unknown as Map<string, string[]>;
  const params = chosen(RECORDS.get('vm')!, shell.get('params'), ['uuid', 'name-label']);
  const shown: Shown[] = [];
  for (const [ref, why] of found instanceof Map ? found : (Object.entries(found as object) as [string, string[]][]))
    shown.push([...(await record(shell, shell.row('VM', ref), params)), ['reason ( RO)', why.join(',')]]);
  await shell.printer.table(shown);
}

async function pick(shell: Shell, param: string): Promise<Row> {
  return shell.row('host', shell.has(param) ? await shell.named('host', param) : shell.xapi.hostRef);
}

const entries = (map: Record<string, string>, ...keys: string[]): Shown =>
  Object.entries(map).filter(([key]) => keys.length === 0 || keys.includes(key)); // prettier-ignore

export const host = {
  'host-enable': async (shell: Shell, row: Row) => {
    await shell.call('host.remove_from_other_config', row.ref, 'MAINTENANCE_MODE');
    await shell.call('host.enable', row.ref);
  },
  'host-forget': (shell: Shell) =>
    careful(shell, 'host.destroy', ['this is for a host that will never come back.', 'It cannot be undone.']),
  'host-declare-dead': (shell: Shell) =>
    careful(shell, 'host.declare_dead', ['this is for a host that does not run: were it to, disks of its VMs would be lost.']), // prettier-ignore
  'host-get-vms-which-prevent-evacuation': preventing,
  'host-cpu-info': async (shell: Shell) => shell.printer.table([entries((await pick(shell, 'uuid')).map('cpu_info'))]),
  'host-get-cpu-features': async (shell: Shell) =>
    shell.printer.table([entries((await pick(shell, 'uuid')).map('cpu_info'), 'features_pv', 'features_hvm', 'features_pv_host', 'features_hvm_host')]), // prettier-ignore
  'host-license-view': async (shell: Shell) =>
    shell.printer.table([entries((await pick(shell, 'host-uuid')).map('license_params'))]),
  'host-call-plugin': async (shell: Shell) => {
    const [ref, plugin, fn] = [await shell.named('host', 'host-uuid'), shell.needed('plugin'), shell.needed('fn')];
    const args: Record<string, string> = {};
    for (const [key, value] of Object.entries(mapOf(shell.params, 'args'))) {
      const file = /^(.*):file$/.exec(key)?.[1];
      const text = file === undefined ? value : await shell.file(value);
      if (text === undefined) return shell.fail(`Failed to read file ${value}`);
      args[file ?? key] = text;
    }
    await shell.printer.list([(await shell.call('host.call_plugin', ref, plugin, fn, args)) as string]);
  },
};
