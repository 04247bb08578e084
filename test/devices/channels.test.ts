// Channels as a person and an agent have them: Debian's hvc1 and hvc2, by `xl console -n` and by a unix socket.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { lstatSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { guestImage } from '../../guests/image/index.ts';
import { Bed, fields, until } from '../host/bed.ts';
import { ShellGuest } from '../host/shell.ts';

const b = new Bed();
before(() => b.up('--memory', '200'));
after(() => b.close());

test('a guest with channels: names, both ways, listed; the sockets go with it', async () => {
  const guest = new ShellGuest(b, 'agent');
  const path = join(b.folder, 'agent.sock');
  const channel = ['connection=pty, name=org.example.shell', `connection=socket,name=org.example.agent,path=${path}`];
  await guest.boot(guestImage().initrd, '/init', { channel, memory: 128 });
  const domid = (await b.ok('domid', 'agent')).trim();
  const rows = (await b.ok('channel-list', 'agent')).trim().split('\n').slice(1);
  assert.deepEqual(rows.map((row) => fields(row).toSpliced(3, 2)), [
    ['1', '32514', '4', 'pty'],
    ['2', '32514', '4', 'socket', path],
  ]); // prettier-ignore
  assert.equal(lstatSync(path).mode & 0o777, 0o600);
  assert.match(await guest.run('ls /sys/bus/xen/devices'), /console-1\s+console-2/);

  // The socket: what was said before anybody listened comes first.
  await guest.run('stty raw -echo </dev/hvc2; echo early >/dev/hvc2');
  const socket = connect(path);
  let heard = '';
  socket.on('data', (bytes) => (heard += bytes.toString()));
  await until(() => heard.includes('early'), 'it is heard');
  await guest.run('( (head -n 1 </dev/hvc2 >/run/line; echo "got $(cat /run/line)" >/dev/hvc2) </dev/null & )');
  socket.write('a line of the agent\n');
  await until(() => heard.includes('got a line of the agent'), `it answers: ${heard}`);

  // The pty: `xl console -n 1`.
  await guest.run(
    'stty raw -echo </dev/hvc1; ( (head -n 1 </dev/hvc1 >/run/line1; echo "got $(cat /run/line1)" >/dev/hvc1) </dev/null & )',
  );
  const xl = b.start('xl', ['console', '-n', '1', 'agent']);
  let said = '';
  xl.stdout!.on('data', (bytes: Buffer) => (said += bytes.toString()));
  xl.stdin!.write('typed\n');
  await until(() => said.includes('got typed'), `the console answers: ${said}`);
  xl.kill();
  assert.match((await b.xl('console', '-n', '2', 'agent')).err, /is reached by its socket/);
  assert.match((await b.xl('console', '-n', '3', 'agent')).err, /has no console 3/);

  // The path is in use, by us or by anything.
  const twice = await b.xl('create', '-q', b.config('twice', { channel: [channel[1]!] }));
  assert.equal(twice.code, 3);
  assert.match(twice.err, /channel org\.example\.agent: no socket at .*: something is there already\.\n$/);
  const file = join(b.folder, 'file');
  writeFileSync(file, 'mine');
  assert.match((await b.xl('create', '-q', b.config('onfile', { channel: [`name=x,connection=socket,path=${file}`] }))).err, /something is there already/); // prettier-ignore

  const closed = once(socket, 'close');
  await b.ok('destroy', domid);
  await closed;
  assert.throws(() => lstatSync(path), { code: 'ENOENT' });
  guest.close();
});
