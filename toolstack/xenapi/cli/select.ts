/** Commands that work on the VMs, hosts or storage repositories that their parameters select. */
import { RECORDS } from '../../../spec/xenapi/cli/records.ts';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import { CliFailure, STANDARD, type Params } from './arguments.ts';
import { explained } from './explain.ts';
import { filter } from './records.ts';
import type { Shell } from './shell.ts';

export type Act = (shell: Shell, row: Row) => Promise<void>;

/** What has failed for some of those that a command was for. */
export class Several extends Error {
  readonly failures: readonly (readonly [string, string])[];
  constructor(failures: readonly (readonly [string, string])[]) {
    super('some have failed');
    this.failures = failures;
  }
}

interface Kind {
  class: string;
  /** As in `vm=NAME`. */
  word: string;
  /** Fields of which one is the name. */
  names: string[];
  none: string;
  many: string;
}

const KINDS: Record<string, Kind> = {
  vm: { ...{ class: 'VM', word: 'vm', names: ['name_label'] }, none: 'No matching VMs found', many: 'Multiple matches VMs found.' },
  host: { ...{ class: 'host', word: 'host', names: ['hostname', 'name_label'] }, none: 'No matching hosts found', many: 'Multiple matching hosts found.' },
  sr: { ...{ class: 'SR', word: 'sr', names: ['name_label'] }, none: 'No matching SRs found', many: 'Multiple matching SRs found.' },
}; // prettier-ignore

/** Objects that all parameters fit, those apart that are the command's own. */
async function select(shell: Shell, kind: Kind, own: ReadonlySet<string>, more: Params): Promise<Row[]> {
  let rows = await shell.all(kind.class);
  const word = shell.get(kind.word);
  if (word !== undefined)
    rows = rows.filter((row) => row.uuid === word || kind.names.some((name) => row.fields[name] === word));
  const about = ([name]: readonly [string, string]): boolean =>
    name !== kind.word && !STANDARD.has(name) && !own.has(name.split(':')[0]) && !own.has(name);
  return filter(shell, RECORDS.get(kind.word)!, rows, [...more, ...shell.params.filter(about)]);
}

export function selectVms(shell: Shell, own: ReadonlySet<string>, flags: ReadonlySet<string>): Promise<Row[]> {
  const more: [string, string][] = [];
  if (!flags.has('dom0')) more.push(['is-control-domain', 'false']);
  if (!flags.has('templates')) more.push(['is-a-template', 'false']);
  return select(shell, KINDS.vm, own, more);
}

/** Does it for all, and tells of those for which it has failed. */
async function each<T>(rows: readonly Row[], act: (row: Row) => Promise<T>, shell: Shell): Promise<T[]> {
  const done: T[] = [];
  const failures: [string, string][] = [];
  for (const row of rows) {
    try {
      done.push(await act(row));
    } catch (error) {
      if (!(error instanceof Failure || error instanceof CliFailure)) throw error;
      failures.push([row.uuid, error instanceof Failure ? explained(shell.xapi.db, error) : error.message]);
    }
  }
  if (failures.length > 0) throw new Several(failures);
  return done;
}

async function onSelected<T>(
  shell: Shell,
  kind: Kind,
  rows: readonly Row[],
  act: (row: Row) => Promise<T>,
  single: boolean,
): Promise<T[]> {
  if (rows.length === 0) throw new CliFailure(kind.none);
  if (rows.length === 1) return [await act(rows[0])];
  if (single) throw new CliFailure(`${kind.many} Operation can only be performed on one at a time`);
  if (!shell.flag('multiple')) throw new CliFailure(`${kind.many} --multiple required to complete the operation`);
  return each(rows, act, shell);
}

export async function onVms<T>(
  shell: Shell,
  act: (shell: Shell, vm: Row) => Promise<T>,
  own: ReadonlySet<string>,
  flags: ReadonlySet<string> = new Set(),
): Promise<T[]> {
  let rows: Row[];
  try {
    rows = await selectVms(shell, own, flags);
  } catch (error) {
    if (!(error instanceof CliFailure) || !error.message.startsWith('Unknown field')) throw error;
    const name = /'(.*)'/.exec(error.message)?.[1] ?? '';
    throw new CliFailure(`Parameter '${name}' is not a field of the VM class. Failed to select VM for operation.`);
  }
  return onSelected(shell, KINDS.vm, rows, (vm) => act(shell, vm), flags.has('single'));
}

export async function onHosts(
  shell: Shell,
  act: Act,
  own: ReadonlySet<string>,
  flags: ReadonlySet<string>,
): Promise<void[]> {
  const rows = await select(shell, KINDS.host, own, []);
  return onSelected(shell, KINDS.host, rows, (host) => act(shell, host), flags.has('single'));
}

export async function onSrs(
  shell: Shell,
  act: Act,
  own: ReadonlySet<string>,
  flags: ReadonlySet<string>,
): Promise<void[]> {
  const rows = await select(shell, KINDS.sr, own, []);
  return onSelected(shell, KINDS.sr, rows, (sr) => act(shell, sr), flags.has('single'));
}
