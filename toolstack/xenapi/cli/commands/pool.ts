/** The pool, and what has no other place. */
import { NULL_REF } from '../../../../spec/xenapi/types.ts';
import { CliFailure } from '../arguments.ts';
import type { Shell } from '../shell.ts';

const OBJECTS: [param: string, of: string][] = [
  ['vm-uuid', 'VM'],
  ['pool-uuid', 'pool'],
  ['sr-uuid', 'SR'],
  ['host-uuid', 'host'],
  ['network-uuid', 'network'],
];

export const pool = {
  'pool-join': async (shell: Shell) => {
    const who = ['master-address', 'master-username', 'master-password'].map((name) => shell.needed(name));
    await shell.call(shell.flag('force') ? 'pool.join_force' : 'pool.join', ...who);
  },
  'pool-get-cpu-features': async (shell: Shell) => {
    const keys = ['features_pv_host', 'features_hvm_host'];
    const info = Object.entries(shell.xapi.pool.map('cpu_info'));
    await shell.printer.table([info.filter(([key]) => keys.includes(key))]);
  },
  'vm-group-create': async (shell: Shell) => {
    const record = {
      ...{ name_label: shell.needed('name-label'), name_description: shell.get('name-description') ?? '' },
      placement: shell.needed('placement'),
    };
    await shell.made('VM_group', await shell.call('VM_group.create', record));
  },
  'appliance-create': async (shell: Shell) => {
    const names = { name_label: shell.needed('name-label'), name_description: shell.get('name-description') ?? '' };
    await shell.made('VM_appliance', await shell.call('VM_appliance.create', names));
  },
  'appliance-shutdown': async (shell: Shell) => {
    const ref = await shell.named('VM_appliance');
    await shell.call(`VM_appliance.${shell.flag('force') ? 'hard_shutdown' : 'clean_shutdown'}`, ref);
  },
  'secret-create': async (shell: Shell) => {
    const record = { value: shell.needed('value'), other_config: {} };
    await shell.made('secret', await shell.call('secret.create', record));
  },
  'blob-create': async (shell: Shell) => {
    const found = OBJECTS.find(([param]) => shell.has(param));
    if (!found) throw new CliFailure('Need one of: vm-uuid, host-uuid, network-uuid, sr-uuid or pool-uuid');
    const [param, of] = found;
    const about = [shell.needed('name'), shell.get('mime-type') ?? '', shell.flag('public')];
    const blob = await shell.call(`${of}.create_new_blob`, await shell.named(of, param), ...about);
    if (blob !== NULL_REF) await shell.made('blob', blob);
  },
};
