import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bootloaderOptions } from './bootloader.ts';
import { checkConfig, domainConfig } from './domain.ts';
import { configJson } from './json.ts';
import { parseSettings } from './syntax.ts';

const read = (text: string) => {
  const settings = parseSettings(`name="g"\n${text}`, 'f');
  return { config: domainConfig(settings, (path) => `/abs/${path}`), warnings: settings.warnings };
};

test("pygrub's arguments", () => {
  assert.deepEqual(bootloaderOptions([]), {});
  assert.deepEqual(bootloaderOptions(['--entry=2', '-q', '--args', 'a b', '--offset=1048576', '--kernel=/k']), {
    ...{ entry: '2', args: 'a b', offset: 1048576, kernel: '/k' },
  });
  for (const [args, sentence] of [
    [['--frob'], /nothing is known of '--frob'; there are --entry=/],
    [['x'], /nothing is known of 'x'/],
    [['--entry'], /--entry needs a value/],
    [['--offset=1k'], /--offset takes a number/],
  ] as const)
    assert.throws(() => bootloaderOptions(args), sentence);
});

test('a domain with a boot loader: no kernel, or one on its disk; over the socket too', () => {
  const { config, warnings } = read('bootloader="pygrub"\ndisk=["d.img,raw,xvda,w"]\nbootloader_args=["--entry=1"]');
  assert.deepEqual(config.bootloader, { name: 'pygrub', args: ['--entry=1'], source: '/abs/d.img' });
  assert.equal(config.kernel, undefined);
  assert.equal(warnings.length, 0);
  assert.deepEqual(
    config.disks.map((d) => d.target),
    ['/abs/d.img'],
  );
  assert.deepEqual(checkConfig(JSON.parse(JSON.stringify(config))), config);
  assert.match(JSON.stringify(configJson(config)), /"bootloader":"pygrub","bootloader_args":\["--entry=1"\],"type.pv"/);
  const { config: named } = read(
    'bootloader="/usr/bin/pygrub"\ndisk=["d,raw,xvda,w"]\nkernel="/boot/k"\nramdisk="/boot/r"',
  );
  assert.deepEqual([named.kernel, named.ramdisk], ['/boot/k', '/boot/r']);
  for (const [text, sentence] of [
    ['bootloader="pygrub"', /reads from the first disk, and there is none/],
    ['bootloader="frob"\ndisk=["d,raw,xvda,w"]', /bootloader="frob" is not supported/],
    ['kernel="k"\nfirmware="uefi"', /firmware="uefi" is not supported/],
  ] as const)
    assert.throws(() => read(text), sentence);
  for (const bad of [{ ...config.bootloader, args: ['--frob'] }, { ...config.bootloader, source: 1 }, 'pygrub', null])
    assert.throws(() => checkConfig({ ...config, bootloader: bad }));
});
