/** Every command of `xe`: those of records, those that are a call, and those written by hand. */
import { COMMAND_ROWS, type CommandRow, type Selects } from '../../../spec/xenapi/cli/commands.ts';
import { callOf } from './call.ts';
import { certificates } from './commands/certificates.ts';
import { disk } from './commands/disk.ts';
import { host } from './commands/host.ts';
import { message } from './commands/message.ts';
import { network } from './commands/network.ts';
import { pool } from './commands/pool.ts';
import { snapshot } from './commands/snapshot.ts';
import { storage } from './commands/storage.ts';
import { subject } from './commands/subject.ts';
import { transfer } from './commands/transfer.ts';
import { vm } from './commands/vm.ts';
import { vmDisk } from './commands/vm_disk.ts';
import { recordCommands } from './records.ts';
import { onHosts, onSrs, onVms, type Act } from './select.ts';
import type { Shell } from './shell.ts';

export interface Command {
  name: string;
  required: readonly string[];
  optional: readonly string[];
  about: string;
  /** Works on what the other parameters select. */
  selects: Selects | undefined;
  standard: boolean;
  hidden: boolean;
  run(shell: Shell): Promise<void>;
}

/** By name; a command that selects is run for each of what it has selected. */
const BY_HAND: Record<string, Act | ((shell: Shell) => Promise<void>)> = {
  ...{ ...certificates, ...disk, ...host, ...message, ...network, ...pool, ...snapshot },
  ...{ ...storage, ...subject, ...transfer, ...vm, ...vmDisk },
};

const SELECTS: Selects[] = ['vm', 'host', 'sr'];
const ON = { vm: onVms, host: onHosts, sr: onSrs };
/** These look for their objects themselves. */
const BY_ITSELF = new Set([
  'console',
  'vm-uninstall',
  'vm-clone',
  'vm-copy',
  'vm-snapshot',
  'vm-checkpoint',
  'vm-migrate',
]);

function commandOf(row: CommandRow): Command {
  const { name, required, optional, flags, about, call } = row;
  const act = call === undefined ? BY_HAND[name] : callOf(call);
  if (!act) throw new Error(`xe has no ${name}`);
  const selects = SELECTS.find((each) => flags.has(each));
  const own = new Set([...required, ...optional].map((each) => each.replace(/:$/, '')));
  const run =
    selects === undefined || BY_ITSELF.has(name)
      ? (act as (shell: Shell) => Promise<void>)
      : async (shell: Shell): Promise<void> => void (await ON[selects](shell, act as Act, own, flags));
  return { ...{ name, required, optional, about, selects, run }, standard: flags.has('standard'), hidden: flags.has('hidden') }; // prettier-ignore
}

let all: Map<string, Command> | undefined;
/** Made when somebody asks first: most hosts serve clients that do not. */
export function commands(): ReadonlyMap<string, Command> {
  all ??= new Map([...COMMAND_ROWS.map(commandOf), ...recordCommands()].map((each) => [each.name, each]));
  return all;
}
