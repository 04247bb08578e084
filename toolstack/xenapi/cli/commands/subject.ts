/** Who may log in, and what they may do. */
import { CliFailure } from '../arguments.ts';
import type { Shell } from '../shell.ts';

async function roleOf(shell: Shell): Promise<string> {
  if (shell.has('role-uuid')) return shell.named('role', 'role-uuid');
  const name = shell.get('role-name');
  if (name === undefined) throw new CliFailure('Required parameter not found: role-name or role-uuid');
  const [found] = (await shell.call('role.get_by_name_label', name)) as string[];
  if (found === undefined) throw new CliFailure(`There is no role ${name}.`);
  return found;
}

export const subject = {
  'subject-add': async (shell: Shell) => {
    const subject_identifier = await shell.call('auth.get_subject_identifier', shell.needed('subject-name'));
    const about = await shell.call('auth.get_subject_information_from_identifier', subject_identifier);
    const made = await shell.call('subject.create', { subject_identifier, other_config: about });
    await shell.made('subject', made);
  },
  'subject-role-add': async (shell: Shell) =>
    void (await shell.call('subject.add_to_roles', await shell.named('subject'), await roleOf(shell))),
  'subject-role-remove': async (shell: Shell) =>
    void (await shell.call('subject.remove_from_roles', await shell.named('subject'), await roleOf(shell))),
  'session-subject-identifier-logout-all': async (shell: Shell) => {
    for (const each of (await shell.call('session.get_all_subject_identifiers')) as string[])
      await shell.call('session.logout_subject_identifier', each);
  },
};
