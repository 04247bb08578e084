// PV guests under `xl`: Debian as PV beside our own unikernel as PVH; list, balloon and reboot.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { guestImage } from '../../guests/image/index.ts';
import { Bed, fields, until } from './bed.ts';

const b = new Bed();
before(() => b.up('--memory', '320'));
after(() => b.close());

const LONG_MS = 120_000;

test('xl create of a PV domain: list -l, mem-set, reboot', async () => {
  const { kernel, initrd } = guestImage();
  const config = b.config('pv', { type: 'pv', kernel, ramdisk: initrd, cmdline: 'console=hvc0 quiet', memory: 192 });
  const console = b.start('xl', ['create', '-c', config]);
  let seen = '';
  console.stdout!.on('data', (bytes: Buffer) => (seen += bytes.toString('latin1')));
  await until(() => /reached[^]*# /.test(seen), `a prompt: ${seen.slice(-300)}`, LONG_MS);

  const [listed] = JSON.parse(await b.ok('list', '-l', 'pv'));
  assert.equal(listed.config.c_info.type, 'pv');
  assert.deepEqual(listed.config.b_info['type.pv'], {});
  const domid = (await b.ok('domid', 'pv')).trim();
  console.stdin!.write('dmesg | grep "Hypervisor detected"; cat /sys/hypervisor/guest_type\n');
  await until(() => /detected: Xen PV\r?\n.*PV\r?\n/s.test(seen), 'the guest knows what it is', LONG_MS);

  // Beside it one of the other kind.
  await b.create('pvh', { extra: 'test=version' });
  await until(async () => (await b.xl('domid', 'pvh')).code === 1, 'a PVH guest ran beside it');

  const memory = async (): Promise<number> => Number(fields((await b.ok('list', 'pv')).split('\n')[1]!)[2]);
  assert.equal(await memory(), 192);
  await b.ok('mem-set', 'pv', '150');
  await until(async () => (await memory()) === 150, 'the balloon takes memory', LONG_MS);
  await b.ok('mem-set', 'pv', '192');
  await until(async () => (await memory()) === 192, 'and gives it back', LONG_MS);

  assert.equal((await b.xl('reboot', 'pv')).code, 0);
  const another = async (): Promise<boolean> => /\d/.test((await b.xl('domid', 'pv')).out.replace(domid, ''));
  await until(another, 'it is another domain', LONG_MS);
  await b.ok('destroy', 'pv');
});
