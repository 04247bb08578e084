// `xe` as a person uses it on the host's own machine: templates become VMs, which are domains.
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ROOT } from '../../bin/setup.cjs';
import { create_image, open_image } from '../../services/block/image/open.ts';
import { runXe } from '../../cli/xe/run.ts';
import { DEBIAN_IMAGE } from '../../toolstack/xenapi/VM/templates.ts';
import { xenapiPaths } from '../../toolstack/xenapi/server.ts';
import { disk, extImage, tools } from '../disk_images.ts';
import { Bed, until, type Ran } from '../host/bed.ts';
import { run } from '../xenapi/bed.ts';

const bed = new Bed();
const paths = xenapiPaths(bed.state);
let port = '';
let fingerprint = '';

before(async () => {
  await tools();
  mkdirSync(paths.boot, { recursive: true, mode: 0o700 });
  copyFileSync(bed.kernel, join(paths.boot, 'unikernel'));
  const said = await bed.up('--xenapi', '0');
  port = /https:\S+:(\d+);/.exec(said)![1];
  fingerprint = /SHA-256 is ([0-9A-F:]+)\./.exec(said)![1];
});
after(() => bed.close());

/** In this process: one of its own takes longer than all it does. */
async function xe(...args: string[]): Promise<Ran> {
  let [out, err] = ['', ''];
  const io = { out: (s: string) => void (out += s), err: (s: string) => void (err += s), env: bed.env };
  return { code: await runXe(args, { ...io, env: { ...bed.env, HOME: bed.folder } }), out, err };
}

async function ok(...args: string[]): Promise<string> {
  const { code, out, err } = await xe(...args);
  assert.deepEqual([code, err], [0, ''], args.join(' '));
  return out.replace(/\n$/, '');
}

const state = (uuid: string): Promise<string> => ok('vm-param-get', `uuid=${uuid}`, 'param-name=power-state');
const halted = (uuid: string): Promise<void> => until(async () => (await state(uuid)) === 'halted', 'it is halted');

test('a unikernel from its template to its end', async () => {
  const uuid = await ok('vm-install', 'template=Kernel unikernel', 'new-name-label=uni');
  await ok('vm-start', 'vm=uni', 'paused=true');
  const domid = await ok('vm-param-get', `uuid=${uuid}`, 'param-name=dom-id');
  assert.match(await bed.ok('list', 'uni'), new RegExp(`uni +${domid} +32 +1 +--p---`));
  await ok('vm-unpause', 'vm=uni');
  await ok('vm-reboot', 'vm=uni', '--force');
  assert.notEqual(await ok('vm-param-get', `uuid=${uuid}`, 'param-name=dom-id'), domid);
  await ok('vm-shutdown', 'vm=uni', '--force');
  await ok('vm-param-set', `uuid=${uuid}`, 'PV-args=poweroff');
  await ok('vm-start', 'vm=uni');
  await ok('event-wait', 'class=vm', `uuid=${uuid}`, 'power-state=halted');
  assert.doesNotMatch(await bed.ok('list'), /uni/);
  await ok('vm-uninstall', 'vm=uni', '--force');
});

/** A disk as an installer leaves it: a partition with a kernel and GRUB's configuration. */
function installed(args: string): Uint8Array {
  const files = {
    'boot/grub/grub.cfg': `menuentry 'Installed' { linux /boot/kernel ${args}\n}\n`,
    'boot/kernel': readFileSync(bed.kernel),
  };
  const root = extImage(files, ['-t', 'ext4'], '8M');
  const sectors = root.length / 512;
  return disk(`label: gpt\nstart=2048, size=${sectors}\n`, 4096 + sectors, [{ start: 2048, contents: root }]);
}

test("Debian's template has its disk of the host's image, and boots the kernel on it", async () => {
  assert.match(
    (await xe('vm-install', 'template=Debian 12', 'new-name-label=deb')).err,
    /^This value is not supported\.\nfield: image\nvalue: debian-12\.qcow2\nreason: there is no image of that name in /,
  );
  assert.equal(await ok('vm-list', 'name-label=deb', '--minimal'), '');
  const bytes = installed('poweroff');
  const image = join(paths.images, DEBIAN_IMAGE);
  await create_image(image, { format: 'qcow2', size: bytes.length });
  const open = await open_image(image, { format: 'qcow2' });
  await open.write(0, [bytes]);
  await open.close();

  const uuid = await ok('vm-install', 'template=Debian 12', 'new-name-label=deb');
  const GIB = 2 ** 30;
  assert.match(await ok('vm-disk-list', 'vm=deb'), new RegExp(`virtual-size \\( RO\\): ${8 * GIB}\n`));
  await ok('vm-memory-limits-set', 'vm=deb', 'static-min=16MiB', 'dynamic-min=32MiB', 'dynamic-max=32MiB', 'static-max=32MiB'); // prettier-ignore
  // Whoever reads these arguments finds them on the disk alone.
  await ok('vm-start', 'vm=deb');
  await halted(uuid);
  await ok('vm-param-set', `uuid=${uuid}`, 'PV-bootloader-args=--entry=none');
  assert.match((await xe('vm-start', 'vm=deb')).err, /^The boot loader finds nothing to start\.\nvm: .*\nmsg: pygrub finds nothing .*no entry 'none'/); // prettier-ignore
  await ok('vm-param-set', `uuid=${uuid}`, 'PV-bootloader=eliloader');
  assert.match((await xe('vm-start', 'vm=deb')).err, /msg: there is pygrub, but no eliloader/);
  assert.equal(await state(uuid), 'halted');

  // A frozen disk boots as well, in a VM of its own.
  await ok('vm-param-set', `uuid=${uuid}`, 'PV-bootloader=pygrub', 'PV-bootloader-args=');
  const frozen = await ok('vm-snapshot', 'vm=deb', 'new-name-label=fresh');
  await ok('vm-install', `template-uuid=${frozen}`, 'new-name-label=deb two');
  await ok('vm-start', 'vm=deb two');
  await halted(await ok('vm-list', 'name-label=deb two', '--minimal'));
  await ok('vm-uninstall', 'vm=deb two', '--force');
  await ok('vm-uninstall', 'vm=deb', '--force');
  assert.equal(await ok('vdi-list', 'managed=true', '--minimal'), '');
});

test('kernels that come and go while the host runs', async () => {
  const names = async (): Promise<string[]> => (await ok('template-list', 'params=name-label', '--minimal')).split(',');
  writeFileSync(join(paths.boot, 'notes'), 'no kernel');
  writeFileSync(join(paths.boot, 'second.initrd'), 'x');
  copyFileSync(bed.kernel, join(paths.boot, 'second'));
  await until(async () => (await names()).includes('Kernel second'), 'the second kernel has a template');
  assert.ok(!(await names()).includes('Kernel notes'));
  assert.equal(await ok('template-list', 'name-label=Kernel second', 'PV-ramdisk=second.initrd', 'params=PV-args', '--minimal'), 'console=hvc0'); // prettier-ignore
  rmSync(join(paths.boot, 'second'));
  await until(async () => !(await names()).includes('Kernel second'), 'it is gone');
  for (const name of ['Debian 12', 'Other install media', 'Linux with its own kernel'])
    assert.ok((await names()).includes(name), name);
  assert.match((await xe('template-uninstall', `template-uuid=${await ok('template-list', 'name-label=Debian 12', '--minimal')}`, '--force')).err, /cannot be done with a template/); // prettier-ignore
});

test('over TLS with a password, by options, environment and files', async () => {
  const password = readFileSync(paths.password, 'utf8').trim();
  const where = ['-s', '127.0.0.1', '-p', port];
  const list = ['host-list', 'params=uuid', '--minimal'];
  const uuid = await ok(...list);
  const file = join(bed.folder, 'credentials');
  writeFileSync(file, `root\n${password}\n`);
  assert.equal(await ok(...list, ...where, '-u', 'root', '-pw', password), uuid);
  assert.equal(await ok(...list, ...where, '-pwf', file), uuid);
  assert.equal(await ok(...list, ...where, '-pwf', file, '--fingerprint', fingerprint), uuid);
  assert.match((await xe(...list, ...where, '-pwf', file, '--fingerprint', 'AB')).err, /^xe: the host's certificate is another: its SHA-256 is [0-9A-F]{64}\.\n$/); // prettier-ignore
  assert.equal((await xe(...list, ...where, '-u', 'root', '-pw', 'wrong')).err, "Authentication failed\nFor usage run: 'xe help'\n"); // prettier-ignore
  writeFileSync(join(bed.folder, '.xe'), `server=127.0.0.1\nport=${port}\n\npasswordfile=${file}\n`);
  assert.equal(await ok(...list), uuid);
  const io = { out: () => {}, err: () => {}, env: { XE_EXTRA_ARGS: `server=127.0.0.1,port=${port},password=x\\,y` } };
  assert.equal(await runXe(list, io), 1);
  rmSync(join(bed.folder, '.xe'));
  const elsewhere = await xe(...list, '-s', '127.0.0.1', '-p', '1');
  assert.deepEqual([elsewhere.code, elsewhere.err], [1, 'xe: 127.0.0.1 port 1 cannot be reached (ECONNREFUSED).\n']);
  assert.match((await xe(...list, ...where, '--nossl')).err, /^xe: /);
  assert.equal((await xe('-version')).out, 'ThinCLI protocol: 0.2\n');
  assert.match((await xe()).err, /^Usage: xe <cmd>/);
  assert.match((await xe(...list, '-pwf', join(bed.folder, 'none'))).err, /^xe: the password file .* cannot be read \(ENOENT\)\.\n$/); // prettier-ignore
});

test('the launcher, and completion in bash', async () => {
  const { out, code } = await bed.run('xenolith', ['xe', 'host-list', '--minimal']);
  assert.equal(code, 0);
  assert.match(out, /^[0-9a-f-]{36}\n$/);
  const bin = join(bed.folder, 'bin');
  mkdirSync(bin);
  writeFileSync(join(bin, 'xe'), `#!/bin/sh\nexec ${process.execPath} ${join(ROOT, 'cli/xe/main.ts')} "$@"\n`, { mode: 0o755 }); // prettier-ignore
  await ok('vm-create', 'name-label=a name');
  const script = `source <(xe completion)
    complete_it() { COMP_LINE=$1 COMP_POINT=\${#1}; _xe 2>/dev/null; printf '%s\\n' "\${COMPREPLY[*]}"; }
    for line in 'xe vm-unin' 'xe vm-pause vm=a' 'xe vm-param-set PV-boot' 'xe help host-disa'; do complete_it "$line"; done`;
  const env = { ...bed.env, PATH: `${bin}:${process.env.PATH}` };
  const shell = await run('bash', ['-c', script], '', env);
  assert.deepEqual(shell.out.split('\n'), ['vm-uninstall', 'a\\ name', 'PV-bootloader= PV-bootloader-args=', 'host-disable host-disable-local-storage-caching', '']); // prettier-ignore
});
