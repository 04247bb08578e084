// Booting from disks: file systems and partition tables that Debian's tools make, configurations as installers write them, and hostile ones.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { create_image, open_image } from '../block/image/open.ts';
import { random } from '../domain_builder/protocol/fixtures.ts';
import { bootFrom, bootFromImage } from './backend/sources.ts';
import { disk, extImage, isoImage, tools, withFolder, type Files } from '../../test/disk_images.ts';
import { boot, treesOf, type Booted, type BootOptions } from './protocol/boot.ts';
import { BootError, MemoryDisk } from './protocol/disk.ts';
import { Tree } from './protocol/tree.ts';

before(tools);

const bytes = (length: number, seed: number): Uint8Array => {
  const next = random(seed);
  return Uint8Array.from({ length }, () => next(256));
};
const KERNEL = bytes(3_000_000, 1);
const INITRD = bytes(700_001, 2);
const FILES: Files = {
  'boot/vmlinuz-6.1': KERNEL,
  'boot/initrd-6.1': INITRD,
  vmlinuz: '->boot/vmlinuz-6.1',
  'initrd.img': '->../../boot/initrd-6.1',
  'boot/grub/grub.cfg':
    'menuentry "One" --id first {\n linux /vmlinuz root=/dev/xvda1 ro "a b"\n initrd /initrd.img\n}\n',
};
const bootImage = (image: Uint8Array, options?: BootOptions): Booted =>
  boot(treesOf(new MemoryDisk(image), options?.offset), options);

test('from an image of any format, whose walk begins again at each part that is not read yet', async (t) => {
  const raw = extImage(FILES, ['-t', 'ext4', '-b', '1024'], '16M');
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-boot-'));
  t.after(() => rmSync(folder, { recursive: true }));
  for (const format of ['raw', 'qcow2', 'vhd'] as const) {
    const path = join(folder, `disk.${format}`);
    await create_image(path, { format, size: raw.length });
    const image = await open_image(path, { format });
    await image.write(0, [raw]);
    checkBooted(await bootFromImage(image));
    await image.close();
  }
  const path = join(folder, 'empty.qcow2');
  await create_image(path, { format: 'qcow2', size: 1 << 20 });
  const empty = await open_image(path, { format: 'qcow2' });
  await assert.rejects(bootFromImage(empty), BootError);
  await empty.close();
});

function checkBooted(booted: Booted): void {
  assert.deepEqual(Buffer.from(booted.kernel), Buffer.from(KERNEL));
  assert.deepEqual(Buffer.from(booted.ramdisk!), Buffer.from(INITRD));
  assert.deepEqual([booted.title, booted.kernelPath, booted.args], ['One', '/vmlinuz', 'root=/dev/xvda1 ro a b']);
}

const EXT: [string, string[]][] = [
  ['ext2 with blocks of 1 KiB', ['-t', 'ext2', '-b', '1024']],
  ['ext2 as it was first', ['-t', 'ext2', '-r', '0', '-b', '1024', '-O', 'none']],
  ['ext3', ['-t', 'ext3', '-b', '4096']],
  ['ext4', ['-t', 'ext4']],
  [
    'ext4 with 64 bits, small blocks and metadata in block groups',
    ['-t', 'ext4', '-b', '1024', '-O', '64bit,meta_bg,^resize_inode'],
  ],
  ['ext4 with contents in inodes', ['-t', 'ext4', '-O', 'inline_data', '-I', '256']],
  ['ext4 without extents', ['-t', 'ext4', '-O', '^extents,^64bit']],
  [
    'ext4 with backups of its superblock in two groups',
    ['-t', 'ext4', '-b', '1024', '-O', 'sparse_super2,meta_bg,^resize_inode'],
  ],
];
for (const [name, options] of EXT)
  test(name, () => {
    const many = Object.fromEntries(
      Array.from({ length: 600 }, (_, i) => [`boot/modules/a-name-that-takes-room-${i}`, '']),
    );
    const last = {
      'boot/modules/zz': KERNEL.subarray(0, 9999),
      'boot/modules/small': 'x'.repeat(100),
      ['l'.repeat(80)]: `->${'./'.repeat(60)}boot/modules/zz`,
    };
    const image = extImage({ ...FILES, ...many, ...last }, options);
    checkBooted(bootImage(image));
    const [tree] = treesOf(new MemoryDisk(image));
    assert.equal(tree!.list('/boot/modules').filter((n) => n.startsWith('a-name')).length, 600);
    assert.deepEqual(
      Buffer.from(tree!.read('/l'.concat('l'.repeat(79)), 1 << 20)!),
      Buffer.from(KERNEL.subarray(0, 9999)),
    );
    assert.equal(Buffer.from(tree!.read('/boot/modules/small', 100)!).toString(), 'x'.repeat(100));
    assert.equal(tree!.read('/boot/modules', 100), undefined);
    assert.throws(() => tree!.read('/vmlinuz', 1000), /at most 1000/);
  });

test('a file with holes', () => {
  // Twice the first piece of a tree of indirect blocks, nothing in between: mke2fs leaves the zeros out.
  const sparse = new Uint8Array(5_000_000);
  sparse.set(INITRD.subarray(0, 1000), 0);
  sparse.set(INITRD.subarray(0, 1000), 4_900_000);
  for (const options of [
    ['-t', 'ext2', '-b', '1024'],
    ['-t', 'ext4'],
  ]) {
    const [tree] = treesOf(new MemoryDisk(extImage({ sparse }, options)));
    assert.deepEqual(Buffer.from(tree!.read('/sparse', 1 << 30)!), Buffer.from(sparse));
  }
});

for (const [name, options] of [
  ['Rock Ridge', ['-R']],
  ['Joliet', ['-J', '-f']],
  ['both', ['-R', '-J']],
] as const)
  test(`an ISO image with ${name}`, () => {
    const links: Files = name === 'Joliet' ? { vmlinuz: KERNEL, 'initrd.img': INITRD } : {};
    checkBooted(
      bootImage(isoImage({ ...FILES, ...links, 'a name with more than thirty-one characters in it': 'x' }, options)),
    );
  });

test('a plain ISO image: names of eight and three capitals', () => {
  const image = isoImage(
    {
      'isolinux/isolinux.cfg': 'DEFAULT x\nLABEL x\n KERNEL linux.krn\n APPEND initrd=/isolinux/rd.img quiet\n',
      'isolinux/linux.krn': KERNEL,
      'isolinux/rd.img': INITRD,
    },
    [],
  );
  const booted = bootImage(image);
  assert.deepEqual(
    [booted.kernelPath, booted.args, booted.ramdisk!.length],
    ['/isolinux/linux.krn', 'quiet', INITRD.length],
  );
});

test('MBR: primary, active and logical partitions; GPT; a disk without a table; a place given by hand', () => {
  const root = extImage(FILES, ['-t', 'ext4']);
  const other = extImage(
    { 'boot/grub/grub.cfg': 'menuentry Other {\n linux /k\n}\n', k: 'kernel' },
    ['-t', 'ext2'],
    '2M',
  );
  const sectors = root.length / 512;
  const small = other.length / 512;
  const total = sectors + small + 8192;
  const at = 2048 + small;
  const both = [
    { start: 2048, contents: other },
    { start: at, contents: root },
  ];
  const first = `start=2048, size=${small}, type=83`;
  const active = disk(`label: dos\n${first}\nstart=${at}, size=${sectors}, type=83, bootable\n`, total, both);
  checkBooted(bootImage(active));
  assert.equal(
    bootImage(disk(`label: dos\n${first}\nstart=${at}, size=${sectors}, type=83\n`, total, both)).title,
    'Other',
  );
  assert.equal(bootImage(active, { offset: 2048 * 512 }).title, 'Other');
  checkBooted(bootImage(active, { offset: at * 512 }));
  const logical = disk(
    `label: dos\nstart=2048, size=${total - 2048}, type=5\nstart=4096, size=${sectors}, type=83\n`,
    total,
    [{ start: 4096, contents: root }],
  );
  checkBooted(bootImage(logical));
  const gpt = disk(
    `label: gpt\n${`start=2048, size=${small}`}\nstart=${at}, size=${sectors}, attrs=LegacyBIOSBootable\n`,
    total,
    both,
  );
  checkBooted(bootImage(gpt));
  checkBooted(bootImage(root));
});

test('a kernel on another partition than its configuration', () => {
  const bootPart = extImage({ 'grub/grub.cfg': FILES['boot/grub/grub.cfg']!, unused: 'x' }, ['-t', 'ext2'], '2M');
  const root = extImage({ vmlinuz: KERNEL, 'initrd.img': INITRD }, ['-t', 'ext4']);
  const at = 2048 + bootPart.length / 512;
  checkBooted(
    bootImage(
      disk(
        `label: dos\nstart=2048, size=${bootPart.length / 512}, type=83\nstart=${at}, size=${root.length / 512}, type=83\n`,
        at + root.length / 512 + 2048,
        [
          { start: 2048, contents: bootPart },
          { start: at, contents: root },
        ],
      ),
    ),
  );
});

test('a folder: links lead nowhere outside of it', () => {
  withFolder({ ...FILES, outside: '->/etc/passwd', up: '->../../../../../../../../etc/passwd' }, (folder) => {
    checkBooted(bootFrom(folder));
    for (const kernel of ['/outside', '/up', '/../../etc/passwd'])
      assert.throws(() => bootFrom(folder, { kernel }), /it has no file/);
    assert.deepEqual(
      Buffer.from(bootFrom(folder, { kernel: '/../vmlinuz', ramdisk: 'initrd.img', args: 'x' }).kernel),
      Buffer.from(KERNEL),
    );
  });
});

// ---- configurations

class Files0 {
  readonly #files: Map<string, Uint8Array>;
  constructor(files: Record<string, string>) {
    this.#files = new Map(Object.entries(files).map(([path, text]) => [path, Buffer.from(text)]));
  }
  readonly root = '';
  kind = (path: string) => (this.#files.has(path) ? ('file' as const) : ('folder' as const));
  size = (path: string) => this.#files.get(path)?.length ?? 0;
  child = (folder: string, name: string) => {
    const path = `${folder}/${name}`;
    return [...this.#files.keys()].some((p) => p === path || p.startsWith(`${path}/`)) ? path : undefined;
  };
  names = () => [];
  target = () => '';
  read = (path: string) => this.#files.get(path)!;
}

const bootFiles = (
  files: Record<string, string>,
  options?: BootOptions,
): [string, string, string, string | undefined] => {
  const booted = boot(
    [new Tree(new Files0({ '/k1': '1', '/k2': '2', '/k3': '3', '/i1': 'a', '/i2': 'bb', ...files }))],
    options,
  );
  return [
    booted.title,
    booted.kernelPath,
    booted.args,
    booted.ramdisk && Buffer.from(booted.ramdisk).toString('latin1'),
  ];
};
const grub = (text: string, options?: BootOptions, more: Record<string, string> = {}) =>
  bootFiles({ '/boot/grub/grub.cfg': text, ...more }, options);

/** As grub-mkconfig of Debian 12 writes it. */
const DEBIAN = `
if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "\${next_entry}" ] ; then
   set default="\${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="\${saved_entry}"
fi
if [ x"\${feature_menuentry_id}" = xy ]; then
  menuentry_id_option="--id"
else
  menuentry_id_option=""
fi
export menuentry_id_option
function savedefault {
  if [ -z "\${boot_once}" ]; then
    saved_entry="\${chosen}"
    save_env saved_entry
  fi
}
function load_video { if [ x$feature_all_video_module = xy ]; then insmod all_video; else insmod efi_gop; fi }
if loadfont $font ; then set gfxmode=auto; fi
terminal_output console
function gfxmode {
\tset gfxpayload="\${1}"
}
menuentry 'Debian GNU/Linux' --class debian --class gnu-linux $menuentry_id_option 'gnulinux-simple-1' {
\tload_video
\tif [ "x$grub_platform" = xxen ]; then insmod xzio; insmod lzopio; fi
\tsearch --no-floppy --fs-uuid --set=root 1-2-3
\techo\t'Loading Linux ...'
\tlinux\t/k1 root=UUID=1 ro  quiet
\techo\t'Loading initial ramdisk ...'
\tinitrd\t/i1
}
submenu 'Advanced options' $menuentry_id_option 'gnulinux-advanced-1' {
\tmenuentry 'Debian, with 6.1' $menuentry_id_option 'gnulinux-6.1-advanced-1' {
\t\tlinux\t($root)/k2 root=UUID=1 ro
\t\tinitrd\t/i1 /i2
\t}
\tmenuentry 'Debian, recovery' $menuentry_id_option 'gnulinux-6.1-recovery-1' {
\t\tgfxmode keep
\t\tlinux\t(hd0,gpt2)/k3 single pay=$gfxpayload arg=$1
\t}
}
menuentry 'A setup' { fwsetup }
`;

test('grub.cfg of Debian: the default, a saved one, entries in menus by number, title and id', () => {
  const first = ['Debian GNU/Linux', '/k1', 'root=UUID=1 ro quiet', 'a'];
  const second = ['Debian, with 6.1', '/k2', 'root=UUID=1 ro', 'a\0\0\0bb\0\0'];
  const third = ['Debian, recovery', '/k3', 'single pay=keep arg=', undefined];
  assert.deepEqual(grub(DEBIAN), first);
  const saved = (entry: string) =>
    grub(DEBIAN, {}, { '/boot/grub/grubenv': `# GRUB Environment Block\nsaved_entry=${entry}\n######` });
  for (const entry of [
    '1>0',
    'Advanced options>Debian, with 6.1',
    'gnulinux-6.1-advanced-1',
    'Advanced options>0',
    '1',
  ])
    assert.deepEqual(saved(entry), second, entry);
  assert.deepEqual(saved('1>1'), third);
  assert.deepEqual(saved('nothing'), first);
  assert.deepEqual(grub(DEBIAN, {}, { '/boot/grub/grubenv': 'next_entry=1>1\n' }), third);
  assert.deepEqual(grub(DEBIAN, { entry: '1' }), second, 'a person counts over all menus');
  assert.deepEqual(grub(DEBIAN, { entry: 'gnulinux-6.1-recovery-1', args: 'more' }), [
    'Debian, recovery',
    '/k3',
    'single pay=keep arg= more',
    undefined,
  ]);
  assert.throws(
    () => grub(DEBIAN, { entry: '9' }),
    /grub.cfg: it has no entry '9'; there are 0 'Debian GNU\/Linux', 1/,
  );
  assert.throws(() => grub(DEBIAN, { entry: 'A setup' }), /loads no kernel/);
});

test('the language: quotes, continued lines, loops, functions, tests, other files', () => {
  assert.deepEqual(grub('set a="x  y"; set b=\'$a\'; menuentry "T $a" { linux /k1 "$a" $a \\\n $b "\\$q" \'it\'s }'), [
    'T x  y',
    '/k1',
    'x  y x y $a $q its',
    undefined,
  ]);
  assert.deepEqual(grub('for i in 1 2 3; do menuentry "E$i" $i { linux /k$1 n=$1 }; done; set default=2'), [
    'E3',
    '/k3',
    'n=3',
    undefined,
  ]);
  assert.deepEqual(grub('set n=; while [ "$n" != aaa ]; do set n="a$n"; done\nmenuentry $n { linux /k1 }')[0], 'aaa');
  assert.deepEqual(
    grub(
      'function f { if [ $# -gt 1 -a $2 = b ]; then return 0; fi; return 1; }\nif f a b; then if f a c; then set t=no; else set t=yes; fi; fi; menuentry $t { linux /k1 }',
    )[0],
    'yes',
  );
  assert.deepEqual(
    grub(
      'if [ ! -e /nothing -a -f /k1 -a -d /boot ]; then set t=1; elif true; then set t=2; else set t=3; fi; menuentry "t$t" { linux /k1 }',
    )[0],
    't1',
  );
  assert.deepEqual(
    grub(
      'source /boot/grub/more.cfg',
      {},
      { '/boot/grub/more.cfg': 'menuentry more { linux /k2 # no comment: "\n}\nreturn\nmenuentry never { }' },
    )[0],
    'more',
  );
  assert.deepEqual(
    grub(
      'menuentry Xen { multiboot2 /boot/xen.gz dom0_mem=1G; module2 /k2 placeholder root=x; module2 --nounzip /i2 }',
    ),
    ['Xen', '/k2', 'placeholder root=x', 'bb'],
  );
  assert.deepEqual(
    grub('menuentry "" { linux /k1 }\nmenuentry constructor { linux /k2 }', { entry: 'constructor' })[1],
    '/k2',
  );
});

test('menu.lst: entries, devices before paths, modules of a hypervisor, a saved default', () => {
  const text =
    'default=1\ntimeout 5\n# title no\ntitle One\n root (hd0,0)\n kernel /k1 root=/dev/xvda ro\n initrd /i1\n\ntitle Two\nkernel (hd0,0)/k2 console=hvc0\ntitle Xen\nkernel /boot/xen.gz x\nmodule /k3 dom0\nmodule /i2\n';
  const legacy = (more: string, options?: BootOptions, files = {}) =>
    bootFiles({ '/boot/grub/menu.lst': text + more, ...files }, options);
  assert.deepEqual(legacy(''), ['Two', '/k2', 'console=hvc0', undefined]);
  assert.deepEqual(legacy('', { entry: '0' }), ['One', '/k1', 'root=/dev/xvda ro', 'a']);
  assert.deepEqual(legacy('', { entry: 'Xen' }), ['Xen', '/k3', 'dom0', 'bb']);
  assert.deepEqual(legacy('default saved\n', {}, { '/boot/grub/default': '0\0\0' })[0], 'One');
});

test('extlinux: labels, titles, common arguments, includes, initrds in arguments', () => {
  const text =
    'DEFAULT l2\nPROMPT 0\nAPPEND common\nLABEL l1\n MENU LABEL ^First one\n LINUX ../../k1\n INITRD /i1,/i2\n APPEND root=x\nLABEL l2\n  kernel /k2\nlabel l3\n kernel /k3\n append - \nMENU INCLUDE more.cfg\n';
  const ext = (options?: BootOptions, more = text) =>
    bootFiles(
      {
        '/boot/extlinux/extlinux.conf': more,
        '/boot/extlinux/more.cfg': 'LABEL l4\nKERNEL /k1\nAPPEND a initrd=/i2 b\n',
      },
      options,
    );
  assert.deepEqual(ext(), ['l2', '/k2', 'common', undefined]);
  assert.deepEqual(ext({ entry: 'First one' }), ['First one', '/boot/extlinux/../../k1', 'root=x', 'a\0\0\0bb\0\0']);
  assert.deepEqual(ext({ entry: 'l3' }), ['l3', '/k3', '', undefined]);
  assert.deepEqual(ext({ entry: '3' }), ['l4', '/k1', 'a b', 'bb']);
  assert.deepEqual(ext({}, text.replace('LINUX', 'MENU DEFAULT\nLINUX'))[0], 'First one');
});

test('what cannot be booted is told in one sentence', () => {
  const empty = extImage({ x: 'x' }, ['-t', 'ext2'], '1M');
  const qcow = new Uint8Array(4096);
  qcow.set(Buffer.from('QFI\xfb', 'latin1'));
  const cases: [() => unknown, RegExp][] = [
    [() => bootImage(empty), /no configuration of GRUB .* or extlinux/],
    [() => bootImage(new Uint8Array(1 << 20)), /no file system that can be read/],
    [() => bootImage(new Uint8Array(3)), /no file system/],
    [() => bootImage(qcow), /qcow2 image: say so/],
    [() => grub('menuentry a { linux /none }'), /names \/none, and there is no such file/],
    [() => grub('menuentry "a'), /grub.cfg: line 1: a quotation has no end/],
    [() => grub('if true; then'), /'fi' is missing/],
    [() => grub('set x=1'), /its menu is empty/],
    [() => grub('while true; do set x=1; done'), /does not come to an end/],
    [() => grub('function f { f; }; f'), /nested too deep/],
    [
      () => grub(`set a=aaaaaaaaaa\n${'set a="$a$a$a$a"\n'.repeat(20)}menuentry x { linux /k1 }`),
      /grows too (long|large)/,
    ],
    [() => grub('source /boot/grub/grub.cfg'), /nested too deep/],
    [() => grub('{ '.repeat(10) + 'if true; then '.repeat(200)), /nested too deep/],
  ];
  for (const [run, sentence] of cases)
    assert.throws(
      run,
      (error: Error) => error instanceof BootError && sentence.test(error.message) && !error.message.includes('\n'),
      String(sentence),
    );
});

test('fuzz: damaged disks and odd configurations boot or are told of, in bounded time', () => {
  const next = random(11);
  const small: Files = {
    ...FILES,
    'boot/vmlinuz-6.1': KERNEL.subarray(0, 20_000),
    'boot/initrd-6.1': INITRD.subarray(0, 9_000),
  };
  const parted = (contents: Uint8Array) =>
    disk(`label: dos\nstart=64, size=${contents.length / 512}, type=83\n`, 128 + contents.length / 512, [
      { start: 64, contents },
    ]);
  const images = [
    extImage(small, ['-t', 'ext2', '-b', '1024'], '1M'),
    parted(extImage(small, ['-t', 'ext4', '-b', '1024', '-O', 'inline_data,^has_journal'], '1M')),
    isoImage(small, ['-R']),
    isoImage({ ...small, vmlinuz: 'k', 'initrd.img': 'i' }, ['-J']),
  ];
  // Bytes that say something: a fuzzer that hits contents alone finds nothing.
  const used = images.map((image) =>
    [...image.keys()].filter((i) => image[i] !== 0 || i % 512 === 0).filter((i) => i < 300_000),
  );
  const outcomes = { booted: 0, told: 0 };
  const attempt = (run: () => unknown): void => {
    try {
      run();
      outcomes.booted++;
    } catch (error) {
      assert.ok(error instanceof BootError, String((error as Error).stack));
      outcomes.told++;
    }
  };
  for (let i = 0; i < 3000; i++) {
    const image = Uint8Array.from(images[i % images.length]!);
    const places = used[i % images.length]!;
    for (let n = next(60); n >= 0; n--) image[places[next(places.length)]!] = [0, 1, 0xff, next(256)][next(4)]!;
    attempt(() => bootImage(next(6) ? image : image.subarray(0, next(image.length))));
  }
  assert.ok(outcomes.booted > 100 && outcomes.told > 100, JSON.stringify(outcomes));

  const pieces = [
    'if',
    'then',
    'else',
    'fi',
    'for',
    'in',
    'do',
    'done',
    'while',
    'true',
    'false',
    '{',
    '}',
    ';',
    '\n',
    'function',
    'f',
    'set',
    'a=$a',
    '$a',
    '"',
    "'",
    '\\',
    '[',
    ']',
    '-n',
    '=',
    'menuentry',
    'submenu',
    'linux',
    '/k1',
    'initrd',
    '/i1',
    'default',
    'title',
    'kernel',
    'LABEL',
    'APPEND',
    '$1',
    '${',
    'source',
    '/boot/grub/grub.cfg',
    '--id',
    'return',
    '#',
    '__proto__',
  ];
  for (let i = 0; i < 3000; i++) {
    const text = Array.from({ length: next(40) }, () => pieces[next(pieces.length)]).join(next(4) ? ' ' : '');
    const path = ['/boot/grub/grub.cfg', '/boot/grub/menu.lst', '/extlinux.conf'][i % 3]!;
    attempt(() => bootFiles({ [path]: text }));
  }
});
