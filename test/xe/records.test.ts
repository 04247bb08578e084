// Commands that every class has: what is shown, compared and changed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { xeBed } from './bed.ts';

test('lists, filters and forms', async (t) => {
  const { ok, xe, xapi } = await xeBed(t);
  const one = await ok('vm-create', 'name-label=one');
  const two = await ok('vm-create', 'name-label=two, too', 'name-description=the second');
  assert.match(one, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  assert.equal(
    await ok('vm-list', 'uuid=' + two),
    `uuid ( RO)           : ${two}\n     name-label ( RW): two, too\n    power-state ( RO): halted\n\n`,
  );
  // An empty list is silence, and an empty line with --minimal.
  assert.equal((await xe('vm-list', 'name-label=three')).out, '');
  assert.equal((await xe('vm-list', 'name-label=three', '--minimal')).out, '\n');
  assert.equal(await ok('vm-list', 'params=name-label', 'is-control-domain=false', '--minimal'), 'one,two\\, too');
  await ok('vm-param-set', `uuid=${one}`, 'other-config:colour=red', 'memory-static-max=1GiB', 'name-description=x=y');
  await ok('vm-param-add', `uuid=${one}`, 'param-name=tags', 'param-key=web');
  assert.equal(await ok('vm-list', 'other-config:colour=red', '--minimal'), one);
  assert.equal(await ok('vm-list', 'tags:contains=web', 'params=uuid', '--minimal'), one);
  assert.equal(await ok('vm-list', 'other-config-colour=blue', '--minimal'), '');
  const row = xapi.db.byUuid('VM', one);
  assert.equal(row.number('memory_static_max'), 2 ** 30);
  assert.equal(row.text('name_description'), 'x=y');
  const all = await ok('vm-param-list', `uuid=${one}`);
  assert.match(all, /^uuid \( RO\) +: /);
  for (const line of [
    /^ +other-config \(MRW\): mac_seed: [0-9a-f-]+; colour: red$/m,
    /^ +tags \(SRW\): web$/m,
    /^ +actions-after-shutdown \( RW\): Destroy$/m,
    /^ +resident-on \( RO\): <not in database>$/m,
    /^ +os-version \(MRO\): <not in database>$/m,
    /^ +allowed-VBD-devices \(SRO\): 0; 1; 2; /m,
    /^ +ha-always-run \( RO\) \[DEPRECATED\]: false$/m,
    /^ +hvm \( RO\): false$/m,
  ])
    assert.match(all, line);
  const columns = all.split('\n').filter((line) => line !== '').map((line) => line.indexOf(': ')); // prettier-ignore
  assert.equal(new Set(columns).size, 1, 'names end at one column');
  assert.match(
    await ok('vm-list', 'params=uuid,possible-hosts', `uuid=${one}`),
    /possible-hosts \( RO\): <expensive field>/,
  );
});

test('parameters are got, set, added, removed and cleared', async (t) => {
  const { ok, xe, xapi } = await xeBed(t);
  const vm = await ok('vm-create', 'name-label=x');
  const row = xapi.db.byUuid('VM', vm);
  const uuid = `uuid=${vm}`;
  assert.equal(await ok('vm-param-get', uuid, 'param-name=power-state'), 'halted');
  await ok('vm-param-add', uuid, 'param-name=other-config', 'a=1', 'b=2');
  assert.equal(await ok('vm-param-get', uuid, 'param-name=other-config', 'param-key=b'), '2');
  await ok('vm-param-set', uuid, 'other-config:a=3');
  assert.equal(row.map('other_config').a, '3');
  await ok('vm-param-remove', uuid, 'param-name=other-config', 'param-key=a');
  assert.equal(row.map('other_config').a, undefined);
  await ok('vm-param-clear', uuid, 'param-name=other-config');
  assert.deepEqual({ ...row.map('other_config') }, {});
  await ok('vm-param-add', uuid, 'param-name=tags', 'param-key=t');
  await ok('vm-param-clear', uuid, 'param-name=tags');
  assert.deepEqual(row.fields.tags, []);
  await ok('vm-param-set', uuid, 'actions-after-crash=Preserve', 'is-a-template=true', 'domain-type=pv-in-pvh');
  assert.deepEqual([row.text('actions_after_crash'), row.flag('is_a_template'), row.text('domain_type')], ['preserve', true, 'pv_in_pvh']); // prettier-ignore
  const [host] = xapi.db.table('host').values();
  await ok('template-param-set', uuid, `affinity=${host.uuid}`);
  assert.equal(row.text('affinity'), host.ref);
  await ok('template-param-clear', uuid, 'param-name=affinity');
  assert.equal(row.text('affinity'), 'OpaqueRef:NULL');
  for (const [
    args,
    told,
  ] of [
    [['vm-param-set', uuid, 'power-state=running'], "Error: Field 'power-state' is read-only."],
    [['vm-param-set', uuid, 'nothing=1'], "Error: Unknown field 'nothing'"],
    [['vm-param-set', uuid, 'other-config=1'], "Error: Field 'other-config' is a map or set. use the 'name:key=value' syntax."],
    [['vm-param-set', uuid, 'VCPUs-max=x'], "Error: Failed to parse parameter 'VCPUs-max': expecting an integer"],
    [['vm-param-set', uuid, 'memory-static-max=1PiB'], "Error: Failed to parse field 'memory-static-max': Unknown suffix: 'PiB' (try KiB, MiB, GiB or TiB)"],
    [['vm-param-get', uuid, 'param-name=nothing'], 'Error code: Missing parameter\nError parameters: nothing'],
    [['vm-param-get', uuid, 'param-name=other-config', 'param-key=z'], 'Error: Key z not found in map'],
    [['vm-param-remove', uuid, 'param-name=tags', 'param-key=z'], 'Error: Key z is not in the set'],
    [['vm-param-clear', uuid, 'param-name=uuid'], 'Error: Can only clear RW parameters'],
    [['vm-param-get', uuid], "Required parameter not found: param-name\nFor usage run: 'xe help'"],
    [['vm-param-list', 'uuid=nobody'], 'The uuid you supplied was invalid.\ntype: VM\nuuid: nobody'],
    [['vm-list', 'what=1'], "Error: Unknown field 'what'"],
    [['vm-list', 'tags:with=1'], 'Error: Invalid syntax for set filtering (should be set-param:contains=key)'],
    [['no-such-thing'], "Unknown command: no-such-thing\nFor usage run: 'xe help'"],
    [['vm-list', '-x'], "Syntax error: nothing is known of the switch -x\nFor usage run: 'xe help'"],
  ] as [string[], string][]) // prettier-ignore
    assert.deepEqual(await xe(...args), { code: 1, out: '', err: `${told}\n` }, args.join(' '));
});

test('every class can be listed, and each of its objects shown', async (t) => {
  const { ok, call } = await xeBed(t);
  const { RECORDS } = await import('../../spec/xenapi/cli/records.ts');
  await call('secret.create', { value: 'x', other_config: {} });
  await ok('vm-create', 'name-label=x');
  for (const { name } of RECORDS.values()) {
    const uuids = (await ok(`${name}-list`, 'params=uuid', '--minimal')).split(',').filter((each) => each !== '');
    if (uuids.length > 0) assert.match(await ok(`${name}-param-list`, `uuid=${uuids[0]}`), new RegExp(uuids[0]), name);
  }
});

test('help is made from the tables', async (t) => {
  const { ok } = await xeBed(t);
  assert.match(await ok('help'), /Common command list\n-+\n\n +cd-list, .*vm-install/s);
  const all = await ok('help', '--all');
  for (const name of ['host-param-set', 'vm-vif-list', 'sr-create']) assert.ok(all.includes(name), name);
  const names = (await ok('help', '--all', '--minimal')).split(',');
  assert.ok(names.length > 400 && !names.includes('vm-create'), String(names.length));
  assert.match(
    await ok('help', 'vbd-create', 'x'),
    /^command name {12}: vbd-create\n +reqd params +: vm-uuid, device\n +optional params : vdi-uuid, .*\n +description +: .*\n\n\nUnknown command 'x'$/,
  );
});
