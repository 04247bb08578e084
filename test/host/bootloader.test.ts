// `bootloader = "pygrub"`: a domain whose kernel, initrd and command line lie on its own disk.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { disk, extImage, tools } from '../disk_images.ts';
import { Bed } from './bed.ts';

const b = new Bed();
before(async () => {
  await tools();
  await b.up();
});
after(() => b.close());

const GRUB = `set default=1
menuentry 'Broken' { linux /boot/none }
menuentry 'Tests' --id tests {
  linux /boot/unikernel test=version
}
menuentry 'Others' --id others { linux /boot/unikernel test=none }
`;
const settings = (source: string, more: Record<string, string | string[]> = {}) =>
  b.config('loaded', { kernel: '', bootloader: 'pygrub', disk: [source], ...more });

async function boots(config: string, line: RegExp): Promise<void> {
  const { code, out, err } = await b.run('xl', ['create', '-q', '-c', config]);
  assert.equal(err, '');
  assert.equal(code, 0);
  assert.match(out, line);
}

test('from a partition of an image: the default, a chosen entry, more arguments, a folder; and what there is not', async () => {
  const root = extImage({ 'boot/grub/grub.cfg': GRUB, 'boot/unikernel': readFileSync(b.kernel) }, ['-t', 'ext4'], '8M');
  const image = join(b.folder, 'disk.img');
  writeFileSync(
    image,
    disk(`label: gpt\nstart=2048, size=${root.length / 512}\n`, 4096 + root.length / 512, [
      { start: 2048, contents: root },
    ]),
  );
  await boots(settings(`${image},raw,xvda,w`), /^xenolith unikernel: test=version\r?\n/);
  await boots(
    settings(`format=raw, vdev=xvda, target=${image}`, { bootloader_args: '--entry=others', extra: 'behind' }),
    /^xenolith unikernel: test=none behind\r?\n/,
  );
  const folder = join(b.folder, 'root');
  mkdirSync(join(folder, 'boot/extlinux'), { recursive: true });
  writeFileSync(join(folder, 'boot/k'), readFileSync(b.kernel));
  writeFileSync(join(folder, 'boot/extlinux/extlinux.conf'), 'LABEL a\nLINUX ../k\nAPPEND test=none folder\n');
  await boots(settings(`${folder},raw,xvda,w`), /^xenolith unikernel: test=none folder\r?\n/);

  assert.equal((await b.xl('create', '-q', '-p', settings(`${image},raw,xvda,w`))).code, 0);
  const [listed] = JSON.parse(await b.ok('list', '-l', 'loaded'));
  assert.equal(listed.config.b_info.bootloader, 'pygrub');
  assert.equal(listed.config.b_info.kernel, undefined);
  await b.ok('destroy', 'loaded');

  const cases: [Record<string, string | string[]>, number, RegExp][] = [
    [
      { bootloader_args: '--entry=0' },
      3,
      /pygrub finds nothing to boot on .*disk.img: the entry 'Broken' names \/boot\/none/,
    ],
    [
      { bootloader_args: '--entry=nine' },
      3,
      /grub.cfg: it has no entry 'nine'; there are 0 'Broken', 1 'Tests', 2 'Others'/,
    ],
    [{ bootloader_args: '--frob' }, 1, /bootloader_args: nothing is known of '--frob'/],
    [{ bootloader: 'eliloader' }, 1, /bootloader="eliloader" is not supported/],
    [{ disk: [`${image}.none,raw,xvda,w`] }, 3, /there is no such file/],
    [{ disk: [`${b.kernel},raw,xvda,w`] }, 3, /no file system that can be read/],
  ];
  for (const [more, code, sentence] of cases) {
    const ran = await b.xl('create', '-q', settings(`${image},raw,xvda,w`, more));
    assert.match(ran.err, sentence);
    assert.equal(ran.code, code, ran.err);
  }
});
