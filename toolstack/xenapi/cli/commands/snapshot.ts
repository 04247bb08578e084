/** Commands of snapshots. */
import { NULL_REF } from '../../../../spec/xenapi/types.ts';
import type { Row } from '../../database/row.ts';
import { CliFailure } from '../arguments.ts';
import type { Shell } from '../shell.ts';
import { uninstall } from './uninstall.ts';

export async function snapshotOf(shell: Shell): Promise<Row> {
  const uuid = shell.get('snapshot-uuid') ?? shell.get('uuid');
  if (uuid === undefined) throw new CliFailure('Required parameter not found: snapshot-uuid or uuid.');
  const row = shell.row('VM', await shell.byUuid('VM', uuid));
  if (row.flag('is_a_snapshot')) return row;
  throw new CliFailure(`This operation can only be performed on a VM snapshot. ${uuid} is not a VM snapshot.`);
}

async function template(shell: Shell, method: string, ...more: string[]): Promise<void> {
  const frozen = await snapshotOf(shell);
  const made = (await shell.call(method, frozen.ref, shell.needed('new-name-label'), ...more)) as string;
  const about = shell.get('new-name-description');
  if (about !== undefined) await shell.call('VM.set_name_description', made, about);
  await shell.made('VM', made);
}

export const snapshot = {
  'snapshot-revert': async (shell: Shell) => void (await shell.call('VM.revert', (await snapshotOf(shell)).ref)),
  'snapshot-clone': (shell: Shell) => template(shell, 'VM.clone'),
  'snapshot-copy': async (shell: Shell) => {
    const uuid = shell.get('sr-uuid');
    await template(shell, 'VM.copy', uuid === undefined ? NULL_REF : await shell.byUuid('SR', uuid));
  },
  'snapshot-uninstall': async (shell: Shell) => uninstall(shell, [await snapshotOf(shell)]),
  'snapshot-destroy': async (shell: Shell) => {
    const frozen = await snapshotOf(shell);
    if (frozen.text('power_state') !== 'Halted') await shell.call('VM.hard_shutdown', frozen.ref);
    await shell.call('VM.destroy', frozen.ref);
  },
  'snapshot-reset-powerstate': async (shell: Shell) => {
    shell.mustForce();
    await shell.call('VM.power_state_reset', (await snapshotOf(shell)).ref);
  },
};
