// The rest of xl's verbs against a host: Xen's columns, field by field, and what each verb does.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { VERBS } from '../../cli/xl/verbs.ts';
import { Bed, fields, until } from './bed.ts';

const b = new Bed();
before(() => b.up());
after(() => b.close());

/** `name : value` lines. */
const pairs = (text: string): Map<string, string> =>
  new Map(
    text
      .trimEnd()
      .split('\n')
      .map((line) => [line.slice(0, 23).trim(), line.slice(25)]),
  );

test('info: all of Xen’s lines, in their order', async () => {
  const text = await b.ok('info');
  const names =
    'host release version machine nr_cpus max_cpu_id nr_nodes cores_per_socket threads_per_core cpu_mhz hw_caps virt_caps total_memory free_memory sharing_freed_memory sharing_used_memory outstanding_claims free_cpus xen_major xen_minor xen_extra xen_version xen_caps xen_scheduler xen_pagesize platform_params xen_changeset xen_commandline cc_compiler cc_compile_by cc_compile_domain cc_compile_date build_id xend_config_format';
  const known = pairs(text);
  assert.deepEqual([...known.keys()], names.split(' '));
  for (const line of text.trimEnd().split('\n')) assert.match(line, /^[a-z_]+ *: ?/);
  assert.match(known.get('hw_caps')!, /^([0-9a-f]{8}:){7}[0-9a-f]{8}$/);
  assert.equal(known.get('xen_version'), `4.17${known.get('xen_extra')}`);
  assert.match(known.get('platform_params')!, /^virt_start=0x[0-9a-f]+$/);
  assert.ok(Number(known.get('free_memory')) >= 180);
  assert.equal(await b.ok('info', 'xen_caps'), `${known.get('xen_caps')}\n`);
  assert.match(
    await b.ok('info', '-n'),
    /^cpu_topology {11}:\ncpu: {4}core {4}socket {5}node\n {2}0: {7}0 {8}0 {8}0\n/m,
  );
});

test('vcpu-list, uptime, claims, sharing, cpupool-list, sched-*', async () => {
  await b.create('sleeper', { vcpus: 1, maxvcpus: 3 }, '-p');
  const domid = Number(await b.ok('domid', 'sleeper'));
  const [head, dom0, ...rows] = (await b.ok('vcpu-list')).trimEnd().split('\n');
  assert.equal(head, 'Name                                ID  VCPU   CPU State   Time(s) Affinity (Hard / Soft)');
  assert.equal(dom0, 'Domain-0                             0     0    0   r--       0.0  all / all');
  assert.equal(
    rows[0],
    `sleeper                          ${String(domid).padStart(5)}     0    0   ---       0.0  all / all`,
  );
  assert.equal(
    rows[1],
    `sleeper                          ${String(domid).padStart(5)}     1    -   --p       0.0  all / all`,
  );
  assert.equal(rows.length, 3);
  assert.match(await b.ok('uptime', 'sleeper'), /^Name {32}ID Uptime\nsleeper {27}[ \d]{4} {2}0:00:\d\d\n$/);
  assert.match(await b.ok('uptime', '-s', 'sleeper'), /^ \d\d:\d\d:\d\d up {2}0:00, sleeper \(\d+\)\n$/);
  assert.match(await b.ok('claims'), /Time\(s\) {2}Claimed\n[\s\S]*--p--- {7}0\.0 {5}0\n$/);
  assert.match(await b.ok('sharing', 'sleeper'), /^Name {40}ID {3}Mem Shared\nsleeper {33} [ \d]{5} {4}16 {6}0\n$/);
  const pools = (await b.ok('cpupool-list')).split('\n');
  assert.equal(pools[0], 'Name               CPUs   Sched     Active   Domain count');
  assert.deepEqual(fields(pools[1]!), ['Pool-0', '1', 'rr', 'y', '2']);
  assert.equal(await b.ok('cpupool-list', '-c'), 'Name               CPU list\nPool-0             0\n');
  // As Xen does for a scheduler that is not in use.
  assert.equal(await b.ok('sched-credit2'), '');
  assert.equal((await b.xl('sched-credit2', '-d', 'sleeper', '-w', '512')).code, 1);
  await b.ok('vcpu-set', '-i', 'sleeper', '2');
  assert.match((await b.xl('vcpu-set', 'sleeper', '2')).err, /2 vCPUs are more than the host's 1 pCPUs/);
  assert.match((await b.xl('vcpu-set', '-i', 'sleeper', '9')).err, /1 to 3 vCPUs/);
  await b.ok('vcpu-pin', 'sleeper', 'all', '0', 'all');
  assert.match((await b.xl('vcpu-pin', 'sleeper', '0', '7')).err, /none of the host's 1 pCPUs/);
  await b.ok('destroy', 'sleeper');
});

test('top -b: xentop’s table, and shares of the CPU', async () => {
  await b.create('burn', { extra: 'loop' });
  const lines = (await b.ok('top', '-b', '-i', '2', '-d', '1', '-v')).trimEnd().split('\n');
  const head = fields(lines[0]!);
  assert.deepEqual(head.slice(0, 9), 'NAME STATE CPU(sec) CPU(%) MEM(k) MEM(%) MAXMEM(k) MAXMEM(%) VCPUS'.split(' '));
  const burning = lines.filter((line) => line.startsWith('      burn ')).map(fields);
  assert.equal(burning.length, 2);
  // Between two slices it is neither running nor blocked.
  for (const row of burning)
    assert.match([row.length, row[1], row[8]].join(), new RegExp(`^${head.length},-----[r-],1$`));
  assert.equal(burning[0]![3], '0.0');
  assert.ok(Number(burning[1]![3]) > 30, burning[1]!.join(' '));
  assert.match(lines.at(-1)!, /^VCPUs\(sec\): {3}0: +\d+s/);
  await b.ok('destroy', 'burn');
});

test('mem-set and mem-max move the target and the limit', async () => {
  await b.create('memory', { maxmem: 32 }, '-p');
  const of = async (): Promise<number[]> => {
    const [{ config }] = JSON.parse(await b.ok('list', '-l', 'memory'));
    return [config.b_info.target_memkb, config.b_info.max_memkb];
  };
  await b.ok('mem-set', 'memory', '12');
  await b.ok('mem-max', 'memory', '40m');
  assert.deepEqual(await of(), [12288, 40960]);
  await b.ok('mem-set', 'memory', '20480k');
  assert.deepEqual(await of(), [20480, 40960]);
  const more = await b.xl('mem-set', 'memory', '1g');
  assert.equal(more.code, 1);
  assert.match(
    more.err,
    /more than the domain's maximum of 40960 KiB[\s\S]*cannot set domid \d+ dynamic max memory to : 1g\n$/,
  );
  assert.match((await b.xl('mem-max', 'memory', '4')).err, /less than the domain's target/);
  assert.deepEqual([(await b.xl('mem-set', 'memory', 'abc')).err], ['invalid memory size: abc\n']);
  await b.ok('destroy', 'memory');
});

test('dmesg, debug-keys, trigger', async () => {
  await b.create('talker', { extra: 'console=hv test=none', on_poweroff: 'preserve' });
  await until(async () => (await b.ok('dmesg')).includes('done '), 'the guest speaks');
  const text = await b.ok('dmesg');
  assert.match(text, /^\(XEN\) Xen version 4\.17/);
  assert.match(text, /^\(d\d+\) xenolith unikernel/m);
  await b.ok('debug-keys', 'q');
  assert.match(await b.ok('dmesg', '-c'), /'q' pressed[\s\S]*\(XEN\) domain 0:/);
  assert.equal(await b.ok('dmesg'), '');
  assert.match((await b.xl('trigger', 'talker', 'bogus')).err, /^Invalid trigger "bogus"/);
  assert.equal((await b.xl('trigger', 'talker', 'nmi', '7')).code, 0);
  assert.match((await b.xl('trigger', 'talker', 'power')).err, /EINVAL/);
  await b.ok('destroy', 'talker');
});

test('dump-core: an ELF file that readelf reads, with the guest’s own bytes and registers', async () => {
  await b.create('dumped', { extra: 'crash=panic', on_crash: 'coredump-destroy' });
  await until(async () => (await b.xl('domid', 'dumped')).code === 1, 'it is dumped and destroyed');
  await b.create('looked-at', { extra: 'loop' });
  const busy = async (): Promise<boolean> => Number(fields((await b.ok('list', 'looked-at')).split('\n')[1]!)[5]) > 0.1;
  await until(busy, 'it has begun its loop');
  const file = join(b.folder, 'core');
  await b.ok('dump-core', 'looked-at', file);
  assert.match(fields((await b.ok('list', 'looked-at')).split('\n')[1]!)[4]!, /^[r-]-----$/, 'it runs on');
  const sections = new Map(
    [
      ...execFileSync('readelf', ['-SW', file])
        .toString()
        .matchAll(/\] (\.[\w.]+) +(\w+) +\w+ (\w+) (\w+) (\w+)/g),
    ].map(([, name, type, offset, size, entry]) => [
      name!,
      { type, offset: parseInt(offset!, 16), size: parseInt(size!, 16), entry },
    ]),
  );
  assert.deepEqual(
    [...sections.keys()],
    ['.note.Xen', '.xen_prstatus', '.xen_shared_info', '.xen_pages', '.xen_pfn', '.shstrtab'],
  );
  assert.match(execFileSync('readelf', ['-h', file]).toString(), /CORE \(Core file\)[\s\S]*X86-64/);
  const bytes = readFileSync(file);
  const part = (name: string): Buffer =>
    bytes.subarray(sections.get(name)!.offset, sections.get(name)!.offset + sections.get(name)!.size);
  const pages = part('.xen_pages');
  assert.equal(part('.xen_pfn').length / 8, pages.length / 4096);
  const pfns = new BigUint64Array(
    part('.xen_pfn').buffer.slice(part('.xen_pfn').byteOffset, part('.xen_pfn').byteOffset + part('.xen_pfn').length),
  );
  assert.deepEqual([pfns[0], pfns[4095]], [0n, 4095n]);
  assert.ok(pfns.every((pfn, i) => i === 0 || pfn > pfns[i - 1]!));
  // The kernel's first page is there as its file has it: it is linked at 1 MiB.
  assert.notEqual(pages.subarray(256 * 4096, 257 * 4096).indexOf(readFileSync(b.kernel).subarray(0x1000, 0x1040)), -1);
  const rip = part('.xen_prstatus').readBigUInt64LE(520 + 128);
  assert.ok(rip >= 0x100000n && rip < 0x200000n, rip.toString(16));
  assert.equal(part('.note.Xen').readUInt32LE(8), 0x2000000);
  assert.equal((await b.xl('dump-core', 'looked-at', '/nowhere/core')).code, 1);
  assert.equal(
    (await b.xl('dump-core', 'looked-at', '/dev/full')).err,
    'xl: the core cannot be written to /dev/full: the disk is full; name another file.\n',
  );
  assert.ok(statSync('/dev/full').isCharacterDevice(), 'what is no file of its own is not removed');
  await b.ok('destroy', 'looked-at');
  const dumps = execFileSync('ls', [join(b.state, 'dump')])
    .toString()
    .trim()
    .split('\n');
  assert.equal(dumps.length, 1);
  assert.match(dumps[0]!, /dumped\.\d+\.core$/);
});

test('every verb has its help; those of devices that are not there say so', async () => {
  for (const verb of VERBS) {
    const { code, out, err } = await b.xl(verb.name, '--help');
    assert.deepEqual([code, err], [0, '']);
    assert.match(out, new RegExp(`^Usage: xl .*${verb.name}( [^\n]*)?\n\n[A-Z][^\n]*\\.\n\nOptions:\n`), verb.name);
    assert.equal((await b.xl('help', verb.name)).out, out);
  }
  const names = VERBS.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length);
  const { out } = await b.xl('help');
  for (const name of names) assert.match(out, new RegExp(`^ ${name} `, 'm'));
  assert.equal((await b.xl()).code, 1);
  await b.create('plain', {}, '-p');
  assert.match(await b.ok('block-list', 'plain'), /^Vdev {2}BE {2}handle state evt-ch ring-ref BE-path *\n$/);
  assert.match(
    (await b.xl('network-attach', 'plain', 'bridge=x')).err,
    /there is no network x: `xenolith net create x` makes one/,
  );
  assert.equal((await b.xl('block-attach', 'nosuch', 'x')).err, 'nosuch is an invalid domain identifier (rc=-6)\n');
  assert.deepEqual(await b.xl('getenforce'), { code: 255, out: 'Flask XSM Disabled\n', err: '' });
  await b.ok('destroy', 'plain');
});

test('completion is a script that bash takes, and completes verbs, options and domains', async () => {
  const script = await b.ok('completion', 'bash');
  await b.create('complete me', {}, '-p');
  const ask = (...words: string[]): string[] =>
    execFileSync(
      'bash',
      [
        '-c',
        `xl() { "$NODE" "$XL" "$@"; }\n${script}\nCOMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _xl; printf '%s\\n' "\${COMPREPLY[@]}"`,
        'bash',
        ...words,
      ],
      {
        env: { ...b.env, NODE: process.execPath, XL: join(import.meta.dirname, '../../cli/xl/main.ts') },
      },
    )
      .toString()
      .split('\n')
      .filter(Boolean);
  assert.deepEqual(ask('xl', 'vcpu'), ['vcpu-list', 'vcpu-set', 'vcpu-pin']);
  assert.deepEqual(ask('xl', 'list', '--l'), ['--long']);
  assert.deepEqual(ask('xl', 'pause', ''), ['Domain-0', 'complete me']);
  await b.ok('destroy', 'complete me');
});

test('config-update takes effect at the next start', async () => {
  const kept = b.config('later', { extra: 'test=none reboot' });
  await b.ok('create', '-q', kept);
  const next = b.config('later', { extra: 'test=none', on_poweroff: 'preserve', memory: 18 });
  const ran = await b.xl('config-update', 'later', next);
  assert.deepEqual([ran.code, ran.out], [0, '']);
  await until(async () => / 18 +1 +---s--/.test(await b.ok('list')), 'the new one has ended');
  await b.ok('destroy', 'later');
  assert.equal(existsSync(kept), true);
});
