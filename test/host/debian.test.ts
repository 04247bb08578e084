// Debian under `xl`: created with its console, typed to, left, asked for this and that, and shut down as a good guest is.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { guestImage } from '../../guests/image/index.ts';
import { Bed, fields, until } from './bed.ts';

const b = new Bed();
before(() => b.up('--memory', '256'));
after(() => b.close());

const LONG_MS = 120_000;

test('xl create -c, console, sysrq, mem-set, shutdown -w', async () => {
  const { kernel, initrd } = guestImage();
  const config = b.config('debian', {
    type: 'pvh',
    kernel,
    ramdisk: initrd,
    cmdline: 'console=hvc0 quiet',
    memory: 192,
  });
  const first = b.start('xl', ['create', '-c', config]);
  let seen = '';
  first.stdout!.on('data', (bytes: Buffer) => (seen += bytes.toString('latin1')));
  await until(() => seen.includes('user land reached'), `it boots: ${seen.slice(-300)}`, LONG_MS);
  await until(() => /reached[^]*# /.test(seen), `a prompt: ${JSON.stringify(seen.slice(-200))}`, LONG_MS);
  first.stdin!.write('echo $((6 * 7))-typed; dmesg -n 8\n');
  await until(() => seen.includes('42-typed'), 'the shell answers', LONG_MS);
  first.kill();
  await once(first, 'close');

  await b.ok('sysrq', 'debian', 'h');
  const second = b.start('xl', ['console', 'debian']);
  let more = '';
  second.stdout!.on('data', (bytes: Buffer) => (more += bytes.toString('latin1')));
  await until(() => more.includes('sysrq: HELP'), 'what came while nobody looked', LONG_MS);
  assert.doesNotMatch(more, /user land reached/);

  const memory = async (): Promise<number> => Number(fields((await b.ok('list', 'debian')).split('\n')[1]!)[2]);
  assert.equal(await memory(), 192);
  await b.ok('mem-set', 'debian', '160');
  await until(async () => (await memory()) === 160, 'the balloon takes memory', LONG_MS);

  const shutdown = await b.xl('shutdown', '-w', 'debian');
  assert.deepEqual([shutdown.code, shutdown.out], [0, '']);
  assert.match(
    shutdown.err,
    /^Shutting down domain 1\nWaiting for 1 domains\nDomain 1 has been shut down, reason code 0\n$/,
  );
  await until(() => second.exitCode === 0, 'the console ends with the domain');
  assert.equal((await b.xl('domid', 'debian')).code, 1);
});
