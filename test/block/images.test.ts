// Images that a guest cannot have: one sentence each, from the block service, and nothing of the file is changed.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { create_image, open_image } from '../../services/block/image/open.ts';
import { OrderError } from '../../services/lib/supervisor.ts';
import { BlockBed } from './bed.ts';
import type { FrontDomain } from './front.ts';

let b: BlockBed;
let domain: FrontDomain;
let next = 51712;
before(() => {
  b = new BlockBed();
  domain = b.domain(5);
});
after(() => b.close());

const at = (name: string): string => join(b.folder, name);

/** An image of the format with something in it. */
async function made(name: string, format: 'qcow2' | 'vhd'): Promise<Buffer> {
  await create_image(at(name), { format, size: 64 << 20 });
  const image = await open_image(at(name), { format, readonly: false });
  for (let i = 0; i < 20; i++) await image.write(i << 21, [new Uint8Array(65536).fill(7)]);
  await image.close();
  return readFileSync(at(name));
}

type Format = 'raw' | 'qcow2' | 'vhd';

async function refused(name: string, format: Format, why: RegExp): Promise<void> {
  for (const readonly of [false, true]) {
    const image = { path: at(name), format, readonly };
    await assert.rejects(b.attach(domain, at(name), { number: next++, image }), (error) => {
      assert.ok(error instanceof OrderError && why.test(error.message), `${name}: ${String(error)}`);
      // One sentence, or two halves of one.
      assert.match(error.message, /^[^.\n]+(\.[\w`][^.\n]*)*\.$/, error.message);
      return true;
    });
  }
}

test('missing, no image, of another format, cut off: a sentence, and the file as it was', async () => {
  const qcow2 = await made('whole.qcow2', 'qcow2');
  const vhd = await made('whole.vhd', 'vhd');
  mkdirSync(at('folder'));
  symlinkSync(at('circle'), at('circle'));
  await refused('none', 'raw', /^there is no such file\.$/);
  await refused('none/within', 'raw', /^there is no such file\.$/);
  await refused('whole.vhd/within', 'raw', /a part of the path is no folder/);
  await refused('folder', 'raw', /it is a folder/);
  await refused('circle', 'raw', /its links go in a circle/);
  const vmdk = Buffer.concat([Buffer.from('KDMV'), Buffer.alloc(65532)]);
  const cases: [string, Format, Uint8Array, RegExp][] = [
    ['empty.qcow2', 'qcow2', Buffer.alloc(0), /it is no qcow2 image; give its real format/],
    ['empty.vhd', 'vhd', Buffer.alloc(0), /it is no VHD image; give its real format/],
    ['vhd.qcow2', 'qcow2', vhd, /it is no qcow2 image/],
    ['qcow2.vhd', 'vhd', qcow2, /it is no VHD image/],
    ['vmdk.qcow2', 'qcow2', vmdk, /it is no qcow2 image/],
    ['vmdk.vhd', 'vhd', vmdk, /it is no VHD image/],
    ['header.qcow2', 'qcow2', qcow2.subarray(0, 50), /cut off within its header/],
    ['tables.qcow2', 'qcow2', qcow2.subarray(0, 100_000), /its L1 table .* lies outside of the file/],
    ['l2.qcow2', 'qcow2', qcow2.subarray(0, 200_000), /cut off: its file ends at 200000, and something of it lies at/],
    ['half.qcow2', 'qcow2', qcow2.subarray(0, qcow2.length >> 1), /the qcow2 image is cut off/],
    ['end.qcow2', 'qcow2', qcow2.subarray(0, qcow2.length - 70_000), /the qcow2 image is cut off/],
    ['header.vhd', 'vhd', vhd.subarray(0, 600), /its dynamic header lies outside of the file/],
  ];
  for (const [name, format, bytes, why] of cases) {
    writeFileSync(at(name), bytes);
    await refused(name, format, why);
    assert.ok(readFileSync(at(name)).equals(bytes), name);
  }
  // All of it, and it opens.
  const image = { path: at('whole.qcow2'), format: 'qcow2', readonly: true } as const;
  await (await b.attach(domain, image.path, { number: next++, image })).connect();
});

test('locked: for who would write, and for who would read what another writes', async () => {
  const path = b.image('shared', 1 << 20);
  const image = (readonly: boolean) => ({ path, format: 'raw', readonly }) as const;
  await b.attach(domain, path, { number: next++, image: image(false) });
  for (const readonly of [false, true])
    await assert.rejects(
      b.attach(b.domain(6 + Number(readonly)), path, { number: 51712, image: image(readonly) }),
      (e) => e instanceof OrderError && /^another guest or program has it open.*; end that first\.$/.test(e.message),
    );
});
