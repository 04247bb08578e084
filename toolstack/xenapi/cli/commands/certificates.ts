/** Certificates from files at the client's, and schedules. */
import { basename } from 'node:path';
import type { Row } from '../../database/row.ts';
import { mapOf } from '../arguments.ts';
import type { Shell } from '../shell.ts';

async function contents(shell: Shell, name: string): Promise<string> {
  return (await shell.file(name)) ?? shell.fail(`Failed to read file ${name}`);
}

/** Known by its file's name. */
const install =
  (message: string) =>
  async (shell: Shell): Promise<void> => {
    const file = shell.needed('filename');
    await shell.call(message, basename(file), await contents(shell, file));
  };

export const certificates = {
  'pool-certificate-install': install('pool.certificate_install'),
  'pool-install-ca-certificate': install('pool.install_ca_certificate'),
  'pool-crl-install': install('pool.crl_install'),
  'host-server-certificate-install': async (shell: Shell, host: Row) => {
    const chain = shell.get('certificate-chain');
    const texts = [
      await contents(shell, shell.needed('certificate')),
      await contents(shell, shell.needed('private-key')),
      chain === undefined ? '' : await contents(shell, chain),
    ];
    await shell.call('host.install_server_certificate', host.ref, ...texts);
  },
  'vmss-create': async (shell: Shell) => {
    const record = {
      ...{ name_label: shell.needed('name-label'), name_description: shell.get('name-description') ?? '' },
      ...{ type: shell.needed('type'), frequency: shell.needed('frequency') },
      ...{ enabled: shell.get('enabled') !== 'false', schedule: mapOf(shell.params, 'schedule') },
      retained_snapshots: Number(shell.get('retained-snapshots') ?? 7),
    };
    await shell.made('VMSS', await shell.call('VMSS.create', record));
  },
};
