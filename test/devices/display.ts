// A screen as a person has it: Debian's xen-fbfront and xen-kbdfront, unmodified, seen by real VNC clients, typed to and pointed at.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { DEVICES_INIT, devicesInitrd } from '../../guests/devices/build.ts';
import { ENCODING } from '../../services/rfb/protocol/messages.ts';
import { Viewer } from '../../services/rfb/testing.ts';
import { need } from '../../tools/apt.ts';
import { Bed, until } from '../host/bed.ts';
import { ShellGuest } from '../host/shell.ts';

export function withDisplay(type: 'pvh' | 'pv'): void {
  const b = new Bed();
  before(async () => {
    await need('vncsnapshot', 'tightvncpasswd');
    await b.up('--memory', '230');
  });
  after(() => b.close());

  test(`a screen, ${type}: drawn, changed, typed at, pointed at, with a password; the memory comes back`, async () => {
    const free = async (): Promise<number> => Number(/free_memory\s*: (\d+)/.exec(await b.ok('info'))![1]);
    const atFirst = await free();
    const guest = new ShellGuest(b, type);
    const vfb = ['vnc=1,vncunused=1,vncpasswd=secret'];
    await guest.boot(await devicesInitrd(), DEVICES_INIT, { type, vfb, memory: 160 });
    const [, host, port] = /^([\d.]+)::(\d+)\n$/.exec(await b.ok('vncviewer', type))!;
    const address = { host: host!, port: Number(port) };
    assert.deepEqual([host, Number(port) >= 5900], ['127.0.0.1', true]);
    await assert.rejects(new Viewer(connect(address), { password: 'wrong' }).connect(), /password is wrong/);
    const viewers = [ENCODING.ZRLE, ENCODING.RAW].map((encoding) => new Viewer(connect(address), { password: 'secret', encodings: [encoding, ENCODING.DESKTOP_SIZE] })); // prettier-ignore
    const [v, w] = (await Promise.all(viewers.map((each) => each.connect()))) as [Viewer, Viewer];
    await until(() => v.width === 800, 'the driver is connected', 1).catch(() => v.update(false));
    assert.deepEqual([v.width, v.height, v.name], [800, 600, type]);
    await w.update(false);

    // The guest draws: a rectangle in its frame buffer, by a program, and text, by its kernel.
    await guest.run(
      'i=0; while [ $i -lt 200 ]; do printf "\\000\\200\\377\\000"; i=$((i+1)); done | dd of=/dev/fb0 bs=3200 seek=300',
    );
    const line = 300 * 800;
    for (const each of [v, w]) {
      while (each.pixels[line + 199] !== 0xff8000) await each.update();
      assert.ok(each.pixels.subarray(line, line + 200).every((pixel) => pixel === 0xff8000));
      assert.notEqual(each.pixels[line + 200], 0xff8000);
    }
    const before = v.bytes;
    await guest.run('echo "some words" >/dev/tty0');
    await v.update();
    assert.ok(v.bytes - before < 40_000, `a line of text is little: ${v.bytes - before} bytes`);
    assert.match(await b.ok('vkb-list', type), /^0 +32517 +0 +4 /m);

    // A shell there is typed at; what is held when a viewer leaves comes up.
    await guest.run('( (setsid sh -c "exec sh </dev/tty1 >/dev/tty1 2>&1") </dev/null & )');
    v.type('echo "Hello, World: $((6*7))" >/run/typed\n');
    await until(async () => (await guest.run('cat /run/typed 2>/dev/null')).includes('42'), 'it has been typed');
    assert.equal(await guest.run('cat /run/typed'), 'Hello, World: 42');

    // Both input devices, by evdev: struct input_event of 24 bytes.
    const events = async (device: string, act: () => void): Promise<string[]> => {
      await guest.run(
        `( (exec dd if=/dev/input/by-name-${device} of=/run/ev bs=24 count=200 2>/dev/null) </dev/null & echo $! >/run/dd ); sleep 0.2`,
      );
      act();
      await guest.run('sleep 0.5; kill $(cat /run/dd)');
      const hex = (await guest.run('hexdump -v -e \'24/1 "%02x" "\\n"\' /run/ev')).split('\n');
      return hex.map((line) => Buffer.from(line, 'hex')).filter((e) => e.length === 24 && e.readUInt16LE(16) !== 0).map((e) => `${e.readUInt16LE(16)} ${e.readUInt16LE(18)} ${e.readInt32LE(20)}`); // prettier-ignore
    };
    await guest.run('for e in /sys/class/input/event*; do n=$(cat $e/device/name); ln -s /dev/input/${e##*/} /dev/input/by-name-${n##* }; done'); // prettier-ignore
    assert.deepEqual(
      await events('Pointer', () => {
        v.pointer(0, 0, 0);
        v.pointer(1, 799, 599);
        v.pointer(0, 400, 300);
        v.pointer(8, 400, 300);
      }),
      ['3 0 32767', '3 1 32767', '1 272 1', '3 0 16404', '3 1 16411', '1 272 0', '2 8 1'],
    );
    assert.deepEqual(await events('Keyboard', () => v.type('B')), ['1 42 1', '1 48 1', '1 42 0', '1 48 0']);

    // Real clients.
    const passwd = join(b.folder, 'passwd');
    writeFileSync(passwd, execFileSync('tightvncpasswd', ['-f'], { input: 'secret\n' }));
    const picture = join(b.folder, 'screen.jpg');
    execFileSync('vncsnapshot', ['-passwd', passwd, '-quiet', `${host}:${Number(port) - 5900}`, picture], { stdio: 'pipe' }); // prettier-ignore
    assert.ok(statSync(picture).size > 5000);
    assert.deepEqual([...readFileSync(picture).subarray(0, 3)], [0xff, 0xd8, 0xff]);

    await b.ok('destroy', type);
    await until(() => v.closed && w.closed, 'the viewers are told');
    // The host's own books grow with the first domain; a frame buffer that stays is 2 MiB.
    await until(async () => (await free()) >= atFirst - 1, 'the memory is back');
    guest.close();
  });
}
