/** Commands that are one message of XenAPI, as spec/xenapi/cli/commands.ts writes them. */
import { CLASSES } from '../../../spec/xenapi/index.ts';
import { NULL_REF, type Value } from '../../../spec/xenapi/types.ts';
import type { Row } from '../database/row.ts';
import type { Answer } from '../rpc/encode.ts';
import { mapOf, needed, readBool, readBytes, readFloat, readInt } from './arguments.ts';
import type { Record as Shown } from './printer.ts';
import type { Shell } from './shell.ts';
import { uuidOf } from './values.ts';

interface Argument {
  name: string;
  kind: string;
  /** Of a list: of what. */
  of: string;
  otherwise: string | undefined;
}

function argument(text: string): Argument {
  const [left, otherwise] = text.split(' = ');
  const [name, kind = 'string', of = ''] = left.split(':');
  return { name, kind, of, otherwise };
}

const quoted = (text: string): string | undefined => /^'(.*)'$/.exec(text)?.[1];

async function valueOf(
  shell: Shell,
  { name, kind, of, otherwise }: Argument,
  selected: Row | undefined,
): Promise<unknown> {
  if (name === '@') return selected!.ref;
  if (name === 'pool') return shell.xapi.pool.ref;
  if (kind === 'map') return mapOf(shell.params, name);
  if (kind === 'ref') return shell.session;
  const given = quoted(name) ?? shell.get(name);
  if (given === undefined && otherwise === 'null') return NULL_REF;
  if ((given === undefined && otherwise === 'host') || name === 'host') return shell.xapi.hostRef;
  const text = given ?? (otherwise === undefined ? needed(shell.params, name) : (quoted(otherwise) ?? otherwise));
  switch (kind) {
    case 'string':
      return text;
    case 'int':
      return readInt(name, text);
    case 'float':
      return readFloat(name, text);
    case 'bytes':
      return readBytes(name, text);
    case 'bool':
      return readBool(name, text);
    case 'uuids': {
      const uuids = text.split(',').filter((each) => each !== '');
      return Promise.all(uuids.map((uuid) => shell.byUuid(of, uuid)));
    }
    default:
      return shell.byUuid(kind, text);
  }
}

const plain = (value: unknown): string => (typeof value === 'number' ? String(value) : (value as string));

/** Shows what a message has returned. */
async function show(shell: Shell, how: string, answer: Answer): Promise<void> {
  const { printer } = shell;
  const { db } = shell.xapi;
  const [what, of] = how.split(':');
  switch (what) {
    case 'uuid': {
      const [name, field] = of.split('.');
      const row = db.row(name, answer as string);
      const to = field && CLASSES.get(name)!.fields.get(field)!.type;
      return printer.list([to && to.kind === 'ref' ? uuidOf(db, to.class, row.text(field)) : row.uuid]);
    }
    case 'uuids':
      return printer.list((answer as string[]).map((ref) => uuidOf(db, of, ref)));
    case 'texts':
      return printer.list(answer as string[]);
    case 'number':
      return printer.list([(answer as number).toFixed(6)]);
    case 'records':
      return printer.table(
        (answer as { [key: string]: Value }[]).map((each): Shown => Object.entries(each).map(([key, value]) => [key, plain(value)])), // prettier-ignore
      );
    default:
      return printer.list([plain(answer)]);
  }
}

/** `VM.pause(@)`, `VBD.insert(uuid:VBD, vdi-uuid:VDI)`, `host.dmesg(@) => text` */
export function callOf(text: string): (shell: Shell, selected?: Row) => Promise<void> {
  const [, method, list, how] = /^(\w+\.\w+)\((.*?)\)(?: => (\S+))?$/.exec(text) ?? [];
  if (method === undefined) throw new Error(`no call: ${text}`);
  const wanted = list === '' ? [] : list.split(', ').map(argument);
  return async (shell, selected) => {
    const values: unknown[] = [];
    for (const each of wanted) values.push(await valueOf(shell, each, selected));
    const answer = await shell.call(method, ...values);
    if (how !== undefined) await show(shell, how, answer);
  };
}
