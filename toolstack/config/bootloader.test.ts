import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bootloaderOptions, diskTarget } from './bootloader.ts';
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

test("a disk's target, in the forms that xl has for it", () => {
  for (const text of [
    '/d',
    '/d,raw,xvda,w',
    'phy:/d,xvda,w',
    'file:/d,xvda,r',
    'tap:aio:/d,xvda,w',
    'raw:/d,xvda,w',
    'format=raw,vdev=xvda,target=/d',
  ])
    assert.equal(diskTarget(text), '/d', text);
  assert.equal(diskTarget('vdev=xvda, target=/a,b'), '/a,b');
  for (const text of ['', 'format=raw,vdev=xvda', ',raw,xvda'])
    assert.throws(() => diskTarget(text), /names no target/);
});

test('a domain with a boot loader: no kernel, or one on its disk; over the socket too', () => {
  const { config, warnings } = read('bootloader="pygrub"\ndisk=["d.img,raw,xvda,w"]\nbootloader_args=["--entry=1"]');
  assert.deepEqual(config.bootloader, { name: 'pygrub', args: ['--entry=1'], source: '/abs/d.img' });
  assert.equal(config.kernel, undefined);
  assert.equal(warnings.length, 1);
  assert.deepEqual(checkConfig(JSON.parse(JSON.stringify(config))), config);
  assert.match(JSON.stringify(configJson(config)), /"bootloader":"pygrub","bootloader_args":\["--entry=1"\],"type.pv"/);
  const { config: named } = read('bootloader="/usr/bin/pygrub"\ndisk="d"\nkernel="/boot/k"\nramdisk="/boot/r"');
  assert.deepEqual([named.kernel, named.ramdisk], ['/boot/k', '/boot/r']);
  for (const [text, sentence] of [
    ['bootloader="pygrub"', /reads from the first disk, and there is none/],
    ['bootloader="frob"\ndisk="d"', /bootloader="frob" is not supported/],
    ['kernel="k"\nfirmware="uefi"', /firmware="uefi" is not supported/],
    ['kernel="k"\ndisk=["d"]', /disk: block devices are not supported yet/],
  ] as const)
    assert.throws(() => read(text), sentence);
  for (const bad of [{ ...config.bootloader, args: ['--frob'] }, { ...config.bootloader, source: 1 }, 'pygrub', null])
    assert.throws(() => checkConfig({ ...config, bootloader: bad }));
});
