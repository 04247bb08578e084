// PV guests under `xl`: Debian as PV beside our own unikernel as PVH; list, balloon and reboot; a 32-bit one.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { buildGuest } from '../../guests/build.ts';
import { guestImage } from '../../guests/image/index.ts';
import { Bed, fields, until } from './bed.ts';

const b = new Bed();
before(() => b.up('--memory', '320'));
after(() => b.close());

const LONG_MS = 120_000;

async function dumped(): Promise<string> {
  const file = join(b.folder, 'core');
  await b.ok('dump-core', 'pv', file);
  return file;
}

/** A PV domain's core has its frames in pairs, and in its pages what its kernel says of itself. */
function checkCore(file: string, mib: number): void {
  const sections = execFileSync('readelf', ['-SW', file]).toString();
  const place = (name: string): [number, number] => {
    const [, offset, size] = new RegExp(`\\${name} +PROGBITS +\\w+ (\\w+) (\\w+)`).exec(sections)!;
    return [parseInt(offset!, 16), parseInt(size!, 16)];
  };
  const bytes = readFileSync(file);
  const [p2m, size] = place('.xen_p2m');
  const [pages, length] = place('.xen_pages');
  assert.equal(size / 16, length / 4096);
  assert.ok(size / 16 > mib * 256 * 0.97 && size / 16 <= mib * 256, `${size / 16} pages`);
  assert.deepEqual([bytes.readBigUInt64LE(p2m), bytes.readBigUInt64LE(p2m + 16)], [0n, 1n]);
  assert.notEqual(bytes.subarray(pages, pages + length).indexOf('Linux version 6.1'), -1);
}

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

  checkCore(await dumped(), 192);

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

test('xl create of a 32-bit PV domain, also by the boot loader on its own disk', async () => {
  const kernel = buildGuest('pv32');
  const whole = async (config: string): Promise<string> => {
    const { code, out } = await b.run('xl', ['create', '-q', '-c', config]);
    assert.equal(code, 0, out);
    return out;
  };
  assert.match(await whole(b.config('narrow', { type: 'pv', kernel, vcpus: 2 })), /all checks hold/);
  const folder = join(b.folder, 'disk');
  mkdirSync(join(folder, 'extlinux'), { recursive: true });
  copyFileSync(kernel, join(folder, 'kernel'));
  writeFileSync(join(folder, 'extlinux/extlinux.conf'), 'LABEL a\nLINUX /kernel\nAPPEND by extlinux\n');
  const loaded = b.config('loaded', {
    type: 'pv',
    kernel: '',
    bootloader: 'pygrub',
    disk: [`${folder},raw,xvda,w`],
    vcpus: 2,
  });
  assert.match(await whole(loaded), /all checks hold/);
});
