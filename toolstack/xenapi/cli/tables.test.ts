import assert from 'node:assert/strict';
import { test } from 'node:test';
import { COMMAND_ROWS } from '../../../spec/xenapi/cli/commands.ts';
import { ERRORS } from '../../../spec/xenapi/cli/errors.ts';
import { RECORDS } from '../../../spec/xenapi/cli/records.ts';
import { CLASSES, MESSAGES } from '../../../spec/xenapi/index.ts';
import { commands } from './commands.ts';
import { COMPUTED } from './computed.ts';
import { paramsOf } from './fields.ts';

test('every parameter leads to a field, and what can be set has its messages', () => {
  for (const table of RECORDS.values())
    for (const param of paramsOf(table)) {
      const { computed, path } = param.field;
      const where = `${table.name} ${param.name}`;
      if (computed !== undefined) assert.ok(Object.hasOwn(COMPUTED, computed), where);
      if (!param.is('rw')) continue;
      const { kind } = param.mark;
      const acts = param.is('setmap') ? ['set'] : kind === 'M' ? ['add_to', 'remove_from'] : kind === 'S' ? ['add', 'remove'] : ['set']; // prettier-ignore
      for (const act of acts) assert.ok(MESSAGES.has(`${table.class.name}.${act}_${path[0]}`), `${where}: ${act}`);
    }
});

test('every class with objects has its commands', () => {
  const classes = new Set([...RECORDS.values()].map((table) => table.class.name));
  for (const { name, kind, fields } of CLASSES.values())
    if (kind === 'listed' && fields.has('uuid') && name !== 'user') assert.ok(classes.has(name), name);
  for (const table of RECORDS.values()) assert.ok(commands().has(`${table.name}-list`), table.name);
});

test("a command's call has the arguments that its message wants", () => {
  for (const { name, call, required, optional } of COMMAND_ROWS) {
    if (call === undefined) continue;
    const [, method, list] = /^(\w+\.\w+)\((.*?)\)(?: => \S+)?$/.exec(call)!;
    const message = MESSAGES.get(method);
    assert.ok(message, `${name}: ${method}`);
    const wanted = list === '' ? [] : list.split(', ');
    assert.equal(wanted.length, message.parameters.length, name);
    const known = [...required, ...optional].map((each) => each.replace(/:$/, ''));
    for (const each of wanted) {
      const param = each.split(' = ')[0].split(':')[0];
      if (['@', 'pool', 'host'].includes(param) || param.startsWith("'")) continue;
      assert.ok(known.includes(param) || (param === 'options' && each.endsWith(':map')), `${name}: ${param}`);
    }
  }
});

test('names stand once, and errors have a sentence', () => {
  const names = [...COMMAND_ROWS.map((row) => row.name)];
  assert.equal(new Set(names).size, names.length);
  for (const name of names) assert.ok(commands().get(name), name);
  for (const [code, { sentence }] of ERRORS) assert.match(sentence, /^[A-Z].*\.$/, code);
  assert.deepEqual(ERRORS.get('VM_BAD_POWER_STATE')!.params, ['vm', 'expected', 'actual']);
});
