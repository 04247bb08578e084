import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bed, VM_RECORD } from '../testing.ts';

const MIB = 2 ** 20;

test('machines start in order and stop in the other', async (t) => {
  const { call, xapi } = await bed(t);
  const appliance: string = await call('VM_appliance.create', { name_label: 'a', name_description: '' });
  const vms: string[] = [];
  for (const order of [2, 0, 1, 1]) {
    const vm: string = await call('VM.create', VM_RECORD);
    await call('VM.set_order', vm, order);
    await call('VM.set_appliance', vm, appliance);
    vms.push(vm);
  }
  await call('VM_appliance.start', appliance, false);
  const domids = vms.map((vm) => xapi.db.row('VM', vm).number('domid'));
  assert.deepEqual([domids[1], domids[2] + domids[3], domids[0]], [1, 5, 4]);
  await call('VM_appliance.start', appliance, false);
  assert.deepEqual(
    vms.map((vm) => xapi.db.row('VM', vm).number('domid')),
    domids,
  );
  const ended: string[] = [];
  const since = xapi.db.generation;
  await call('VM_appliance.clean_shutdown', appliance);
  for (const row of xapi.db.log.changesAfter(since)) if (vms.includes(row.ref)) ended.push(row.ref);
  assert.equal(ended.at(0), vms[0]);
  assert.equal(ended.at(-1), vms[1]);
  assert.ok(vms.every((vm) => xapi.db.row('VM', vm).text('power_state') === 'Halted'));
  assert.deepEqual(xapi.db.row('VM_appliance', appliance).map('current_operations'), {});
});

test('what fails is named, and the others run', async (t) => {
  const { call, xapi } = await bed(t, { memory: 600 * MIB });
  const appliance: string = await call('VM_appliance.create', { name_label: 'a', name_description: '' });
  const vms: string[] = [];
  for (const memory of [256, 1024]) {
    const size = { memory_static_max: memory * MIB, memory_dynamic_max: memory * MIB };
    const vm: string = await call('VM.create', { ...VM_RECORD, ...size });
    await call('VM.set_appliance', vm, appliance);
    vms.push(vm);
  }
  await assert.rejects(call('VM_appliance.start', appliance, false), {
    code: 'OPERATION_PARTIALLY_FAILED',
    params: ['VM_appliance.start', vms[1]],
  });
  assert.equal(xapi.db.row('VM', vms[0]).text('power_state'), 'Running');
  await assert.rejects(call('VM.assert_operation_valid', vms[0], 'make_into_template'), { code: 'VM_BAD_POWER_STATE' });
  await call('VM_appliance.shutdown', appliance);
  await assert.rejects(call('VM.assert_operation_valid', vms[0], 'make_into_template'), {
    code: 'VM_IS_PART_OF_AN_APPLIANCE',
  });
});
