/** Storage repositories. */
import { CliFailure, mapOf, readBytes } from '../arguments.ts';
import type { Shell } from '../shell.ts';

/** `KEY-filename=PATH` stands for the contents of a client's file. */
async function withFiles(shell: Shell, config: Record<string, string>): Promise<Record<string, string>> {
  const made: Record<string, string> = {};
  for (const [key, value] of Object.entries(config)) {
    const [, name] = /^(.+)-filename$/.exec(key) ?? [];
    if (name === undefined) {
      made[key] = value;
      continue;
    }
    const text = await shell.file(value);
    if (text === undefined) throw new CliFailure(`File not found: ${value}`);
    made[name] = text;
  }
  return made;
}

async function create(shell: Shell): Promise<void> {
  const host = shell.has('host-uuid') ? await shell.named('host', 'host-uuid') : shell.xapi.hostRef;
  const size = shell.get('physical-size');
  const config = await withFiles(shell, mapOf(shell.params, 'device-config'));
  const sr = await shell.call(
    'SR.create',
    ...[host, config, size === undefined ? 0 : readBytes('physical-size', size), shell.needed('name-label'), ''],
    ...[shell.needed('type'), shell.get('content-type') ?? '', shell.flag('shared'), mapOf(shell.params, 'sm-config')],
  );
  await shell.made('SR', sr);
}

export const storage = {
  'sr-create': create,
  'sr-introduce': async (shell: Shell) => {
    const uuid = shell.needed('uuid');
    const named = [shell.needed('name-label'), '', shell.needed('type'), shell.get('content-type') ?? ''];
    await shell.call('SR.introduce', uuid, ...named, shell.flag('shared'), mapOf(shell.params, 'sm-config'));
    await shell.printer.list([uuid]);
  },
  'pbd-create': async (shell: Shell) => {
    const [host, SR] = [await shell.named('host', 'host-uuid'), await shell.named('SR', 'sr-uuid')];
    const record = { host, SR, device_config: mapOf(shell.params, 'device-config'), other_config: {} };
    await shell.made('PBD', await shell.call('PBD.create', record));
  },
};
