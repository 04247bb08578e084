// Ansible's modules once through: a machine from a template, looked at, stopped, taken away. More of them in ansible.long.ts.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { packages, play } from './ansible.ts';
import { Simulated } from './bed.ts';

const simulated = new Simulated();
before(async () => {
  await packages();
  await simulated.start();
});
after(() => simulated.close());

test('a machine is made, found as it was made, stopped and taken away', async () => {
  const name = { name: 'web' };
  const [made, info, off, gone] = await play({ url: simulated.plain, password: simulated.password }, [
    {
      module: 'guest',
      args: {
        ...{ ...name, template: 'Other install media', state: 'poweredon', disks: [{ size_mb: 64 }] },
        ...{ hardware: { num_cpus: 2, memory_mb: 512 }, networks: [] },
      },
    },
    { module: 'guest_info', args: name },
    { module: 'guest_powerstate', args: { ...name, state: 'shutdown-guest' } },
    { module: 'guest', args: { ...name, state: 'absent' } },
  ]);
  assert.deepEqual([made.changed, info.changed, off.changed, gone.changed], [true, false, true, true]);
  const { state, hardware, disks } = info.instance!;
  assert.deepEqual([state, hardware.memory_mb, hardware.num_cpus, disks[0].size], ['poweredon', 512, 2, 64 * 2 ** 20]);
  assert.equal(off.instance!.state, 'poweredoff');
});
