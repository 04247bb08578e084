/** Networks and interfaces. */
import { randomBytes } from 'node:crypto';
import { readInt } from '../arguments.ts';
import type { Shell } from '../shell.ts';

/** Locally administered, of a single station. */
function randomMac(): string {
  const bytes = randomBytes(6);
  bytes[0] = (bytes[0] & 0xfe) | 2;
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

export const network = {
  'network-create': async (shell: Shell) => {
    const record = {
      ...{ name_label: shell.needed('name-label'), name_description: shell.get('name-description') ?? '' },
      ...{ MTU: readInt('MTU', shell.get('MTU') ?? '1500'), other_config: {}, tags: [] },
      ...{ bridge: shell.get('bridge') ?? '', managed: shell.flag('managed', true) },
    };
    await shell.made('network', await shell.call('network.create', record));
  },
  'vif-create': async (shell: Shell) => {
    const to = shell.row('network', await shell.named('network', 'network-uuid'));
    const mac = shell.get('mac') ?? '';
    const record = {
      ...{ device: shell.needed('device'), network: to.ref, VM: await shell.named('VM', 'vm-uuid') },
      ...{ MAC: mac === 'random' ? randomMac() : mac, MTU: to.number('MTU'), other_config: {} },
      ...{ qos_algorithm_type: '', qos_algorithm_params: {} },
    };
    await shell.made('VIF', await shell.call('VIF.create', record));
  },
  'vif-unplug': async (shell: Shell) =>
    void (await shell.call(shell.flag('force') ? 'VIF.unplug_force' : 'VIF.unplug', await shell.named('VIF'))),
};
