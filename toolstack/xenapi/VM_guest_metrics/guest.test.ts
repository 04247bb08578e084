import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bed, VM_RECORD } from '../testing.ts';

test("what a guest's agent says is in its metrics until it is halted", async (t) => {
  const { call, simulator, xapi } = await bed(t);
  const vm = xapi.db.row('VM', await call('VM.create', VM_RECORD));
  const say = (keys: Record<string, string>) => simulator.onGuest(vm.uuid, new Map(Object.entries(keys)));
  say({ 'data/os_name': 'too early' });
  assert.equal(vm.text('guest_metrics'), 'OpaqueRef:NULL');
  await call('VM.start', vm.ref, false, false);
  say({ 'control/feature-poweroff': '1' });
  assert.equal(vm.text('guest_metrics'), 'OpaqueRef:NULL');
  say({
    ...{ 'attr/PVAddons/MajorVersion': '8', 'attr/PVAddons/MinorVersion': '2', 'attr/vif/0/ipv4/0': '10.0.2.15' },
    ...{
      'attr/vif/0/ipv6/0': 'fe80::1',
      'attr/vif/1/ipv4/1': '10.0.3.1',
      'attr/vif/x/ipv4/0': 'no',
      'data/meminfo_free': '1000',
    },
    ...{
      'data/os_name': 'Debian GNU/Linux 12',
      'data/os_majorver': '12',
      'control/feature-balloon': '1',
      'control/shutdown': 'x',
    },
    'data/long': 'x'.repeat(5000),
  });
  const metrics = xapi.db.row('VM_guest_metrics', vm.text('guest_metrics'));
  assert.deepEqual(metrics.map('os_version'), { name: 'Debian GNU/Linux 12', major: '12' });
  assert.deepEqual(metrics.map('PV_drivers_version'), { major: '8', minor: '2' });
  assert.deepEqual(metrics.map('networks'), {
    ...{ '0/ip': '10.0.2.15', '0/ipv4/0': '10.0.2.15', '0/ipv6/0': 'fe80::1', '1/ipv4/1': '10.0.3.1' },
  });
  assert.deepEqual(Object.keys(metrics.map('other')).toSorted(), ['feature-balloon', 'long', 'meminfo_free']);
  assert.equal(metrics.map('other').long.length, 256);
  say({ 'data/os_name': 'Debian GNU/Linux 13' });
  assert.deepEqual([metrics.map('os_version'), metrics.map('networks')], [{ name: 'Debian GNU/Linux 13' }, {}]);
  await call('VM.hard_shutdown', vm.ref);
  assert.equal(xapi.db.table('VM_guest_metrics').size, 0);
  simulator.onGuest('no such VM', new Map([['data/x', 'y']]));
});
