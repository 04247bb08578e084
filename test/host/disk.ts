// Debian with a disk, as a person has it: ext4 through unmodified xen-blkfront, the service restarted under it, disks that come and go, a reboot.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { DISK_INIT, diskInitrd } from '../../guests/disk/build.ts';
import { guestImage } from '../../guests/image/index.ts';
import { extImage, isoImage, tools } from '../disk_images.ts';
import { Bed, fields, until } from './bed.ts';

const b = new Bed();

const LONG_MS = 120_000;
/** What the guest does with its disk; its answers are told apart from the echo of what was typed. */
const DONE = '"DO""NE"';

/** A terminal at the guest's console. */
class Console {
  seen = '';
  readonly #child;
  constructor(...args: string[]) {
    this.#child = b.start('xl', args);
    for (const stream of [this.#child.stdout!, this.#child.stderr!])
      stream.on('data', (bytes: Buffer) => (this.seen += bytes.toString('latin1')));
  }
  async waits(pattern: RegExp): Promise<void> {
    await until(() => pattern.test(this.seen), `${pattern}: ${this.seen.slice(-600)}`, LONG_MS);
  }
  /** Has the shell do this, and gives what it says. */
  async does(command: string): Promise<string> {
    this.seen = '';
    this.#child.stdin!.write(`${command}; echo ${DONE}\n`);
    await this.waits(/DONE/);
    return this.seen;
  }
}

const inImage = (image: string, ...request: string[]): string =>
  execFileSync('/sbin/debugfs', ['-R', request.join(' '), image], { stdio: 'pipe' }).toString();

export function withDisks(type: 'pvh' | 'pv'): void {
  before(async () => {
    await tools();
    await b.up('--memory', '300');
  });
  after(() => b.close());
  test(`a data disk, ${type}: written, restarted, attached, detached, rebooted; the bytes are the host's`, async () => {
    const [data, more, iso] = ['data', 'more', 'cd.iso'].map((name) => join(b.folder, `${type}-${name}`)) as [string, string, string]; // prettier-ignore
    writeFileSync(data, extImage({ hello: 'from the host\n' }, ['-t', 'ext4'], '24M'));
    writeFileSync(more, new Uint8Array(1 << 20));
    writeFileSync(iso, isoImage({ readme: 'on a CD\n' }, ['-R']));
    const config = b.config(type, {
      type,
      kernel: guestImage().kernel,
      ramdisk: await diskInitrd(),
      cmdline: `console=hvc0 rdinit=${DISK_INIT} quiet`,
      memory: 160,
      disk: [`${data},raw,xvda,w`, ',,xvdc,cdrom'],
    });
    const c = new Console('create', '-c', config);
    await c.waits(/user land reached[^]*# /);
    const domid = Number((await b.ok('domid', type)).trim());
    const row = (await b.ok('block-list', type)).split('\n')[1]!;
    assert.deepEqual(fields(row).slice(0, 4), ['51712', '32515', '1', '4']);
    assert.match(row, new RegExp(`/local/domain/32515/backend/vbd/${domid}/51712$`));

    assert.match(await c.does('mkdir /mnt; mount -t ext4 /dev/xvda /mnt && cat /mnt/hello'), /from the host/);
    // Written while its service is ended and started again.
    const writing = c.does('dd if=/dev/urandom of=/mnt/big bs=64k count=96 && sync && sha256sum /mnt/big');
    for (let i = 0; i < 5; i++) assert.equal((await b.run('xenolith', ['service', 'restart', 'block'])).code, 0);
    const [, sum] = /([0-9a-f]{64})/.exec(await writing)!;
    const { out } = await b.run('xenolith', ['service', 'list']);
    assert.match(out, /^NAME .*\nblock +32515 +running +1 +[5-9] +\d+ ms\n$/);

    // Hot plug, and what is refused.
    await b.ok('block-attach', type, `${more},raw,xvdb,w,sector-size=4096,iops-total=5000,werror=enospc`);
    await c.does(
      'while [ ! -b /dev/xvdb ]; do sleep 1; done; dd if=/dev/zero bs=64k count=16 | tr "\\0" x >/dev/xvdb; sync',
    );
    assert.ok(readFileSync(more).every((byte) => byte === 0x78));
    const sector = 'cat /sys/block/xvdb/queue/logical_block_size /sys/block/xvdb/size';
    assert.match(await c.does(sector), /^4096\r?\n2048\r?$/m);
    await b.ok('block-resize', type, 'xvdb', '2M');
    assert.match(await c.does(`while ! grep -q 4096 /sys/block/xvdb/size; do sleep 1; done; ${sector}`), /^4096\r?\n4096\r?$/m); // prettier-ignore
    assert.match((await b.xl('block-resize', type, 'xvdb', '1M')).err, /can only grow/);
    assert.match((await b.xl('block-resize', type, 'xvdb', '2097153')).err, /a multiple of 4096 bytes/);
    assert.match((await b.xl('block-attach', type, `${more},raw,xvdb,w`)).err, /has a xvdb already/);
    assert.match((await b.xl('block-attach', type, `${data},raw,xvdd,w`)).err, /another guest or program has it open/);
    assert.match((await b.xl('block-attach', type, `${data}.none,raw,xvdd,w`)).err, /there is no such file/);
    assert.match((await b.xl('block-detach', type, 'xvdz')).err, /^Error: Device xvdz not connected\.\n$/);
    await b.ok('block-detach', type, 'xvdb');
    assert.match(await c.does('ls /dev/xvdb'), /No such file/);
    await b.ok('cd-insert', type, 'xvdc', iso);
    assert.match(await c.does('while [ ! -b /dev/xvdc ]; do sleep 1; done; grep -c "on a CD" /dev/xvdc'), /^[1-9]/m);
    await b.ok('cd-eject', type, 'xvdc');
    assert.equal((await b.ok('block-list', type)).trim().split('\n').length, 2);

    assert.doesNotMatch(
      await c.does('dmesg | grep -iE "error|fail" | grep -E "xvd|blk|EXT4"'),
      /xvda.*error|I\/O error/i,
    );
    await c.does('umount /mnt; cat /proc/mounts');
    assert.equal((await b.xl('reboot', type)).code, 0);
    await until(async () => (await b.xl('domid', type)).out.trim() === String(domid + 1), 'it reboots', LONG_MS);
    const again = new Console('console', type);
    await again.waits(/user land reached[^]*# /);
    assert.match(await again.does('mkdir /mnt; mount -t ext4 /dev/xvda /mnt && sha256sum /mnt/big; umount /mnt'), new RegExp(sum!)); // prettier-ignore
    await b.ok('destroy', type);

    execFileSync('/sbin/e2fsck', ['-fn', data], { stdio: 'pipe' });
    inImage(data, 'dump', 'big', `${data}.big`);
    assert.equal(
      createHash('sha256')
        .update(readFileSync(`${data}.big`))
        .digest('hex'),
      sum,
    );
  });
}
