// Debian's own xen-blkfront at work on a disk, reading and writing with sixteen requests under way, while its service is ended a hundred times.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { DISK_BENCH_INIT, diskInitrd } from '../../guests/disk/build.ts';
import { guestImage } from '../../guests/image/index.ts';
import { loadCore } from '../../platform/core.ts';
import { Machine } from '../../platform/machine.ts';
import { buildDomain } from '../../services/domain_builder/protocol/index.ts';
import { Host } from '../../services/xenops/host.ts';
import { elfImage } from '../../toolstack/kernel.ts';

const KILLS = 100;
const PAUSE_MS = 100;
const MEMORY = 192 << 20;
const DISK = 64 << 20;

test('ended a hundred times under a Debian kernel: the guest sees no error', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-kills-'));
  const path = join(folder, 'disk');
  writeFileSync(path, new Uint8Array(DISK).fill(0x11));
  const plan = buildDomain({
    type: 'pvh',
    kernel: elfImage(readFileSync(guestImage().kernel)),
    initrd: readFileSync(await diskInitrd(true)),
    cmdline: `console=hvc0 rdinit=${DISK_BENCH_INIT} seconds=12 quiet disk=/dev/xvda`,
    memory: MEMORY,
  });
  const machine = new Machine({ memory: plan.size + (8 << 20) }, loadCore());
  machine.onFailure((error) => {
    throw error;
  });
  const host = new Host(machine);
  try {
    const vdev = { vdev: 'xvda', number: 51712, cdrom: false, discard: true, sectorSize: 512 };
    const disks = await host.disks.open([{ ...vdev, image: { path, format: 'raw', readonly: false } }]);
    let said = '';
    const write = (bytes: Uint8Array): void => void (said += Buffer.from(bytes).toString('latin1'));
    const guest = host.create({ name: 'kills', plan, memoryKib: MEMORY / 1024, vcpus: 1, console: { write }, disks });
    const { supervisor } = host.disks.service!;
    const gaps: number[] = [];
    const killing = (async () => {
      while (!/bench: sequential-read/.test(said) && guest.outcome === null) await sleep(PAUSE_MS);
      for (let i = 0; i < KILLS && guest.outcome === null; i++) {
        await sleep(PAUSE_MS);
        await supervisor.restart();
        gaps.push(supervisor.gap);
      }
    })();
    await host.run(() => guest.outcome !== null);
    await killing;
    while (host.pump());
    guest.destroy();
    gaps.sort((a, b) => a - b);
    t.diagnostic(`${gaps.length} ends; gap: median ${gaps[gaps.length >> 1]?.toFixed(0)} ms, longest ${gaps.at(-1)?.toFixed(0)} ms\n${said}`); // prettier-ignore
    assert.match(said, /bench: end/, said);
    assert.doesNotMatch(said, /error|fail|hung|blocked for/i, said);
    assert.equal(gaps.length, KILLS, 'the guest ended before');
  } finally {
    await host.stop();
    rmSync(folder, { recursive: true });
  }
});
