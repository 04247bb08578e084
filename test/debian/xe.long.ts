// A Debian from the template, by XenAPI's clients: installed, started, spoken to, frozen, changed, taken back, moved to another host as a file.
import assert from 'node:assert/strict';
import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { debianImage } from '../../guests/debian/build.ts';
import { until } from '../host/bed.ts';
import { bySsh, forwarded } from './ssh.ts';
import { byXe, byXenApi, type Stack } from './stacks.ts';

const BOOT_MS = 300_000;
/** Files that are enough of a system to tell whether all of it has come. */
const SUM = 'find /usr/bin /etc/ssh /srv -xdev -type f | LC_ALL=C sort | xargs sha256sum | sha256sum';

/** A port of the host's that leads to the guest's ssh server. */
class Shell {
  readonly #stack: Stack;
  readonly #vm: string;
  readonly #key: string;
  #port = 0;

  constructor(stack: Stack, vm: string, key: string) {
    this.#stack = stack;
    this.#vm = vm;
    this.#key = key;
  }

  /** Waits for the guest to say its address, which is in the guest's metrics. */
  async open(): Promise<void> {
    let said = '';
    let address: string | undefined;
    await until(
      async () => {
        said = await this.#stack.networks(this.#vm);
        address = /0\/ip: (\d+\.\d+\.\d+\.\d+)/.exec(said)?.[1];
        return address !== undefined;
      },
      'its address is in the metrics',
      BOOT_MS,
    ).catch((error: Error) => {
      throw new Error(`${error.message}: ${said}`);
    });
    if (this.#port === 0) this.#port = await forwarded(this.#stack.bed, 'xenbr0', address!, 22);
  }

  run(command: string): Promise<string> {
    return bySsh(this.#key, this.#port, 'root@127.0.0.1', command);
  }
}

/** The two hosts, one after the other, have a machine's life. */
async function life(stack: (image?: string) => Promise<Stack>): Promise<void> {
  const { path, key } = await debianImage();
  const first = await stack(path);
  const file = join(first.bed.folder, 'web.xva');
  let second: Stack | undefined;
  try {
    const vm = await first.install('web');
    await first.start(vm);
    const shell = new Shell(first, vm, key);
    await shell.open();
    assert.match(await first.system(vm), /name: Debian GNU\/Linux 12 \(bookworm\)/);
    assert.match(await first.system(vm), new RegExp(`uname: ${await shell.run('uname -r')}`));
    // The disk is larger than the image.
    assert.ok(Number(await shell.run('df --output=size -BM / | tail -n 1 | tr -dc 0-9')) > 7000);
    await shell.run(
      'mkdir /srv/data && head -c 20000000 /dev/urandom >/srv/data/random && echo before >/srv/data/state && sync',
    );
    const sum = await shell.run(SUM);

    const frozen = await first.snapshot(vm, 'fresh');
    await shell.run('echo after >/srv/data/state; rm /srv/data/random; touch /srv/data/more; sync');
    assert.notEqual(await shell.run(SUM), sum);
    await first.revert(frozen);
    await first.start(vm);
    await shell.open();
    assert.equal(await shell.run('cat /srv/data/state; ls /srv/data'), 'before\nrandom\nstate');
    assert.equal(await shell.run(SUM), sum);

    await first.shutdown(vm);
    await first.exportTo(vm, file);
    assert.ok(statSync(file).size > 200e6);
    second = await stack();
    const moved = await second.importFrom(file);
    rmSync(file);
    await second.start(moved);
    const there = new Shell(second, moved, key);
    await there.open();
    assert.equal(await there.run(SUM), sum);
    await second.shutdown(moved);
  } finally {
    await second?.close();
    await first.close();
  }
}

test('by xe', () => life(byXe));
test('by XenAPI, with npm’s xen-api', () => life(byXenApi));
