/** Messages, and waiting for events. */
import { setTimeout as sleep } from 'node:timers/promises';
import { EVENT_CLASSES } from '../../database/schema.ts';
import { RECORDS } from '../../../../spec/xenapi/cli/records.ts';
import { readTime } from '../../rpc/decode.ts';
import { CliFailure, readInt, STANDARD } from '../arguments.ts';
import { paramsOf, type Param } from '../fields.ts';
import type { Row } from '../../database/row.ts';
import type { Shell } from '../shell.ts';

/** Changes come in groups. */
const TOGETHER_MS = 20;

const ABOUT: [param: string, cls: string][] = [
  ['vm-uuid', 'VM'],
  ['pool-uuid', 'Pool'],
  ['sr-uuid', 'SR'],
  ['host-uuid', 'Host'],
];

async function create(shell: Shell): Promise<void> {
  const found = ABOUT.find(([param]) => shell.has(param));
  if (!found) throw new CliFailure('Need one of: vm-uuid, host-uuid, sr-uuid or pool-uuid');
  const [param, cls] = found;
  const priority = readInt('priority', shell.needed('priority'));
  await shell.call('message.create', shell.needed('name'), priority, cls, shell.get(param), shell.needed('body'));
}

async function destroy(shell: Shell): Promise<void> {
  const [one, many] = [shell.get('uuid'), shell.get('uuids')];
  if ((one === undefined) === (many === undefined)) throw new CliFailure('Need one of uuid, uuids');
  const uuids = one === undefined ? many!.split(',') : [one];
  await shell.call('message.destroy_many', await Promise.all(uuids.map((uuid) => shell.byUuid('message', uuid))));
}

async function destroyAll(shell: Shell): Promise<void> {
  const time = (name: string): string | undefined => {
    const text = shell.get(name);
    if (text === undefined) return undefined;
    const read = readTime(text);
    if (read === undefined) throw new CliFailure(`'${name}' takes a time such as 2025-01-01T00:00:00Z, not ${text}.`);
    return read;
  };
  const [before, after] = [time('before'), time('after')];
  const priority = shell.has('priority') ? readInt('priority', shell.needed('priority')) : undefined;
  const gone = (await shell.all('message')).filter(
    (row) =>
      (before === undefined || row.text('timestamp') < before) &&
      (after === undefined || row.text('timestamp') > after) &&
      (priority === undefined || row.number('priority') === priority),
  );
  await shell.call('message.destroy_many', gone.map((row) => row.ref)); // prettier-ignore
}

interface Wanted {
  param: Param;
  value: string;
  not: boolean;
}

async function fits(shell: Shell, row: Row, wanted: readonly Wanted[]): Promise<boolean> {
  for (const { param, value, not } of wanted) if (((await param.text(shell, row)) === value) === not) return false;
  return true;
}

/** Looks at all objects, then at those that change. */
async function wait(shell: Shell): Promise<void> {
  const name = shell.needed('class');
  const table = RECORDS.get(name);
  if (!table || !EVENT_CLASSES.has(table.class.name.toLowerCase()))
    throw new CliFailure(`Cli listening for class '${name}' not currently implemented`);
  const wanted = shell.params
    .filter(([key]) => key !== 'class' && !STANDARD.has(key))
    .map(([key, value]): Wanted => {
      const param = paramsOf(table).find((each) => each.name === key);
      if (!param) throw new CliFailure(`key missing: ${key}`);
      const not = value.startsWith('/=');
      return { param, value: not ? value.slice(2) : value, not };
    });
  const { db } = shell.xapi;
  const { signal } = shell.origin;
  while (!signal.aborted) {
    const since = db.generation;
    // A parameter may be another object's (metrics, names), so all are looked at again.
    for (const row of await shell.all(table.class.name)) if (!row.gone && (await fits(shell, row, wanted))) return;
    await shell.until(() => db.generation > since);
    await sleep(TOGETHER_MS);
  }
}

export const message = {
  'message-create': create,
  'message-destroy': destroy,
  'message-destroy-all': destroyAll,
  'event-wait': wait,
};
