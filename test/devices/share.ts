// A folder of the host's, shared with Debian's unmodified 9p over Xen's transport.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, renameSync, statSync, symlinkSync, writeFileSync } from 'node:fs'; // prettier-ignore
import { join } from 'node:path';
import { test } from 'node:test';
import { DEVICES_INIT, devicesInitrd } from '../../guests/devices/build.ts';
import { Bed } from '../host/bed.ts';
import { ShellGuest } from '../host/shell.ts';

const sum = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

export const withShares = (type: 'pvh' | 'pv'): void => {
  test(`shared folders of a ${type.toUpperCase()} guest: read, written, listed, confined; one of them read-only`, async () => {
    const b = new Bed();
    try {
      await b.up('--memory', '230');
      // Memory that somebody had before is given out in another order.
      for (const name of ['before', 'beside']) await b.create(name);
      await b.ok('destroy', 'before');
      await shares(b, type);
    } finally {
      await b.close();
    }
  });
};

async function shares(b: Bed, type: string): Promise<void> {
  const [shared, outside] = [join(b.folder, 'shared'), join(b.folder, 'outside')];
  for (const folder of [shared, outside, join(shared, 'sub'), join(shared, 'many')]) mkdirSync(folder);
  writeFileSync(join(outside, 'secret'), 'secret\n');
  writeFileSync(join(shared, 'hello'), 'from the host\n');
  symlinkSync('../outside/secret', join(shared, 'leak'));
  symlinkSync(outside, join(shared, 'leakdir'));
  execFileSync('mkfifo', [join(shared, 'pipe')]);
  for (let i = 0; i < 500; i++) writeFileSync(join(shared, 'many', `file-${i}`), '');
  const p9 = [`tag=share,path=${shared},security_model=none`, `tag=fixed,path=${shared},access=ro`];
  const guest = new ShellGuest(b, 'sharer');
  await guest.boot(await devicesInitrd(), DEVICES_INIT, { type, p9, memory: 160 });
  const ok = async (command: string): Promise<string> => {
    const out = await guest.run(`${command} || echo FAILED`);
    assert.ok(!out.includes('FAILED'), `${command}: ${out}`);
    return out;
  };
  await ok('mkdir /mnt /ro && mount -t 9p -o trans=xen,version=9p2000.L share /mnt');
  await ok('mount -t 9p -o trans=xen,version=9p2000.L,ro fixed /ro');

  // Both ways.
  assert.equal(await ok('cat /mnt/hello'), 'from the host');
  await ok('dd if=/dev/urandom of=/mnt/big bs=64k count=40 2>/dev/null && sync');
  const [theirs] = (await ok('sha256sum /mnt/big')).split(' ');
  assert.equal(theirs, sum(readFileSync(join(shared, 'big'))));
  writeFileSync(join(shared, 'back'), readFileSync(join(shared, 'big')).toReversed());
  assert.equal((await ok('sha256sum /mnt/back')).split(' ')[0], sum(readFileSync(join(shared, 'back'))));
  assert.equal(await ok('ls /mnt/many | wc -l'), '500');

  // What files can be and become.
  await ok(
    'cd /mnt && mkdir -p a/b && echo one >a/b/c && mv a/b/c a/d && ln a/d a/hard && ln -s ../hello a/soft && echo two >>a/d',
  );
  assert.equal(readFileSync(join(shared, 'a/hard'), 'utf8'), 'one\ntwo\n');
  assert.equal(statSync(join(shared, 'a/d')).nlink, 2);
  assert.equal(readlinkSync(join(shared, 'a/soft')), '../hello');
  assert.equal(await ok('cat /mnt/a/soft; readlink /mnt/a/soft'), 'from the host\n../hello');
  await ok('chmod 640 a/d && truncate -s 5 a/d && touch -d "2001-02-03 04:05:06" a/d');
  const { mode, size, mtimeMs } = statSync(join(shared, 'a/d'));
  assert.deepEqual([mode & 0o7777, size, mtimeMs], [0o640, 5, Date.UTC(2001, 1, 3, 4, 5, 6)]);
  assert.match(await ok('stat -c "%F %a %s %h" a/d; df /mnt | tail -n 1'), /^regular file 640 5 2\n/);
  await ok('rm a/hard a/soft a/d && rmdir a/b a && [ ! -e a ]');
  await ok('exec 3>/mnt/gone && rm /mnt/gone && echo still >&3 && exec 3>&-');
  assert.ok(!existsSync(join(shared, 'gone')));
  const fails = async (command: string, why: RegExp): Promise<void> => {
    assert.match(await guest.run(`${command} 2>&1`), why, command);
  };
  await fails('rmdir /mnt/many', /not empty/i);
  await fails('mkdir /mnt/sub', /exists/i);
  await fails('mknod /mnt/device b 8 0', /not permitted/i);
  await fails('echo >/mnt/x; chmod 4755 /mnt/x', /not permitted/i);
  await fails('cat /mnt/nothing', /No such file/);

  // Links lead into the guest's own tree, not the host's; pipes of the host are nobody's.
  await fails('cat /mnt/leak; ls /mnt/leakdir/', /No such file[^]*No such file/);
  await ok('ls /mnt/.. >/dev/null && cd /mnt/.. && [ "$(pwd)" = / ]');
  assert.equal(readdirSync(outside).join(), 'secret');

  // A folder that is a link when it is looked at the next time.
  await ok('cd /mnt/sub && echo inside >mine && cat mine');
  renameSync(join(shared, 'sub'), join(shared, 'sub2'));
  symlinkSync(outside, join(shared, 'sub'));
  await guest.run('cd /; cat /mnt/sub/secret >/run/got 2>&1; echo x >/mnt/sub/new 2>/dev/null; cat /run/got');
  assert.doesNotMatch(await guest.run('cat /run/got'), /^secret/);
  assert.equal(readdirSync(outside).join(), 'secret');

  // The read-only one.
  assert.equal(await ok('cat /ro/hello'), 'from the host');
  await ok('mount -o remount,rw /ro 2>/dev/null; true');
  for (const command of [
    'echo x >/ro/hello',
    'mkdir /ro/new',
    'rm /ro/hello',
    'chmod 777 /ro/hello',
    'mv /ro/hello /ro/hallo',
    'ln -s x /ro/link',
  ])
    await fails(command, /Read-only file system/);
  assert.equal(lstatSync(join(shared, 'hello')).size, 14);

  await ok('cd /; umount /mnt && umount /ro');
  assert.doesNotMatch(await guest.run('dmesg | tail -n 40'), /9p.*(error|fail)/i);
  await b.ok('destroy', 'sharer');
  guest.close();

  for (const [p9, why] of [
    [`tag=a,path=${join(shared, 'none')}`, /p9 a: .*none: there is no such folder\.\n$/],
    [`tag=a,path=${join(shared, 'hello')}`, /that is no folder/],
  ] as const)
    assert.match((await b.xl('create', '-q', b.config('bad', { p9: [p9] }))).err, why);
}
