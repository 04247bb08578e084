/** Commands that every class has: `CLASS-list` and `CLASS-param-…`. */
import { RECORDS } from '../../../spec/xenapi/cli/records.ts';
import type { RecordTable } from '../../../spec/xenapi/cli/notation.ts';
import type { Row } from '../database/row.ts';
import { CliFailure, STANDARD, type Params } from './arguments.ts';
import type { Command } from './commands.ts';
import { findParam, matches, paramNamed, paramsOf, type Param } from './fields.ts';
import type { Record } from './printer.ts';
import type { Shell } from './shell.ts';
import { turn } from '../turns.ts';

/** Rows for which all of these hold. */
export async function filter(shell: Shell, table: RecordTable, rows: Row[], params: Params): Promise<Row[]> {
  let left = rows;
  for (const [name, value] of params) {
    if (left.length === 0) return left;
    const { param, key } = findParam(table, name);
    const next: Row[] = [];
    for (const row of left) {
      if (await matches(shell, row, param, key, value)) next.push(row);
      await turn();
    }
    left = next;
  }
  return left;
}

/** The parameters that `params=` asks for; in the table's order, whatever the order they were named in. */
export function chosen(table: RecordTable, asked: string | undefined, shown: readonly string[]): Param[] {
  const wanted = asked === undefined ? shown : asked === 'all' ? [] : asked.split(',');
  const all = paramsOf(table);
  if (wanted.length === 0) return all.filter((each) => !each.is('hidden'));
  return all.filter((each) => wanted.includes(each.name) && !each.is('hidden'));
}

export async function record(shell: Shell, row: Row, params: readonly Param[], list = false): Promise<Record> {
  const pairs: [string, string][] = [];
  for (const param of params)
    pairs.push([param.title, list && param.is('expensive') ? '<expensive field>' : await param.text(shell, row)]);
  return pairs;
}

async function* records(shell: Shell, rows: readonly Row[], params: readonly Param[]): AsyncGenerator<Record> {
  for (const row of rows) {
    if (!row.gone) yield await record(shell, row, params, true);
    await turn();
  }
}

const filters = (params: Params, ...without: string[]): Params =>
  params.filter(([name]) => !STANDARD.has(name) && !without.includes(name) && !name.startsWith('database:'));

async function list(shell: Shell, table: RecordTable): Promise<void> {
  const wanted = [...table.filters, ...filters(shell.params, 'params')];
  const rows = await filter(shell, table, await shell.all(table.class.name), wanted);
  const params = chosen(table, shell.get('params'), table.shown);
  await shell.printer.table(records(shell, rows, params));
}

const one = async (shell: Shell, { class: of }: RecordTable): Promise<Row> =>
  shell.row(of.name, await shell.named(of.name));

async function paramList(shell: Shell, table: RecordTable): Promise<void> {
  const row = await one(shell, table);
  await shell.printer.table([await record(shell, row, chosen(table, 'all', []))]);
}

async function paramGet(shell: Shell, table: RecordTable): Promise<void> {
  const row = await one(shell, table);
  const param = paramNamed(table, shell.needed('param-name'));
  const key = shell.get('param-key');
  if (key === undefined || param.mark.kind !== 'M') return shell.printer.list([await param.text(shell, row)]);
  const pair = param.pairs(shell, row).find(([each]) => each === key);
  if (!pair) throw new CliFailure(`Key ${key} not found in map`);
  return shell.printer.list([pair[1]]);
}

async function paramSet(shell: Shell, table: RecordTable): Promise<void> {
  const row = await one(shell, table);
  const whole = new Map<Param, { [key: string]: string }>();
  for (const [name, value] of filters(shell.params, 'uuid')) {
    const { param, key } = findParam(table, name);
    if (key === undefined) await setField(shell, row, param, value);
    else if (param.mark.kind === 'S') throw new CliFailure('Cannot param-set on set fields');
    else if (!param.is('rw')) throw new CliFailure(`Map field '${param.name}' is read-only.`);
    else if (param.is('setmap')) whole.set(param, { ...whole.get(param), [key]: value });
    else await param.setPair(shell, row, key, value);
  }
  for (const [param, pairs] of whole) await param.setAll(shell, row, pairs);
}

async function setField(shell: Shell, row: Row, param: Param, value: string): Promise<void> {
  if (!param.is('rw')) throw new CliFailure(`Field '${param.name}' is read-only.`);
  if (param.mark.kind === 'M')
    throw new CliFailure(`Field '${param.name}' is a map or set. use the 'name:key=value' syntax.`);
  await param.set(shell, row, value);
}

async function paramAdd(shell: Shell, table: RecordTable): Promise<void> {
  const row = await one(shell, table);
  const param = paramNamed(table, shell.needed('param-name'));
  const { kind, writable } = param.mark;
  if (kind === ' ') throw new CliFailure('Can only add to parameters of type Set or Map');
  if (!writable || param.is('setmap')) throw new CliFailure('Parameter is read-only');
  if (kind === 'S') {
    const key = shell.get('param-key');
    if (key === undefined)
      throw new CliFailure('When adding a key to a set, use the syntax: *-param-add param-name=<name> param-key=<key>');
    return param.addMember(shell, row, key);
  }
  for (const [key, value] of filters(shell.params, 'uuid', 'param-name', 'param-key'))
    await param.addPair(shell, row, key, value);
}

async function paramRemove(shell: Shell, table: RecordTable): Promise<void> {
  const row = await one(shell, table);
  const param = paramNamed(table, shell.needed('param-name'));
  const key = shell.needed('param-key');
  const { kind, writable } = param.mark;
  if (kind === ' ') throw new CliFailure('Can only remove from parameters of type Set or Map');
  if (!writable || param.is('setmap')) throw new CliFailure('Cannot remove parameters from read-only map');
  if (kind === 'S') {
    if (!(await param.members(shell, row)).includes(key)) throw new CliFailure(`Key ${key} is not in the set`);
    return param.removeMember(shell, row, key);
  }
  if (!param.pairs(shell, row).some(([each]) => each === key)) throw new CliFailure(`Key ${key} is not in map`);
  return param.removePair(shell, row, key);
}

async function paramClear(shell: Shell, table: RecordTable): Promise<void> {
  const row = await one(shell, table);
  const param = paramNamed(table, shell.needed('param-name'));
  const { kind, writable } = param.mark;
  if (!writable) throw new CliFailure('Can only clear RW parameters');
  if (kind === 'S') for (const each of await param.members(shell, row)) await param.removeMember(shell, row, each);
  else if (param.is('setmap')) await param.setAll(shell, row, {});
  else if (kind === 'M') for (const [key] of param.pairs(shell, row)) await param.removePair(shell, row, key);
  else if (['string', 'ref'].includes(param.last!.type.kind)) await param.set(shell, row, '');
  else throw new CliFailure('Cannot clear this parameter');
}

type Act = (shell: Shell, table: RecordTable) => Promise<void>;

function* commandsOf(table: RecordTable): Generator<Command> {
  const { name } = table;
  const seen = paramsOf(table).filter((each) => !each.is('hidden'));
  const names = seen.map((each) => each.name);
  const pick = (holds: (param: Param) => boolean, tail = ''): string[] =>
    seen.filter(holds).map((each) => `${each.name}${tail}`);
  const make = (what: string, required: string[], optional: string[], about: string, act: Act): Command => ({
    ...{ name: `${name}-${what}`, required, optional, about, selects: undefined, hidden: false },
    standard: what === 'list' && ['vm', 'network', 'sr'].includes(name),
    run: (shell) => act(shell, table),
  });
  const sets = pick((each) => each.is('set'), ':contains');
  const things = `all objects of the kind ${name}`;
  yield make('list', [], ['params', ...names, ...sets], `lists ${things}, or those that fit: field=value, map-field:key=value`, list); // prettier-ignore
  yield make('param-list', ['uuid'], [], 'shows all parameters of an object', paramList);
  yield make('param-get', ['uuid', 'param-name'], ['param-key'], 'shows a parameter, or the value of a key', paramGet);
  const [plain, maps] = [pick((p) => p.is('rw') && !p.is('map')), pick((p) => p.is('rw') && p.is('map'), ':')];
  if (plain.length + maps.length === 0) return;
  yield make('param-set', ['uuid'], [...plain, ...maps], 'sets parameters, and keys of maps by map:key=value', paramSet); // prettier-ignore
  if (seen.some((each) => each.is('rw') && each.mark.kind !== ' ')) {
    yield make('param-add', ['uuid', 'param-name'], ['param-key'], 'adds param-key to a set, or key=value to a map', paramAdd); // prettier-ignore
    yield make('param-remove', ['uuid', 'param-name', 'param-key'], [], 'removes a member or a key', paramRemove);
  }
  yield make('param-clear', ['uuid', 'param-name'], [], 'empties a parameter', paramClear);
}

export const recordCommands = (): Command[] => [...RECORDS.values()].flatMap((table) => [...commandsOf(table)]);
