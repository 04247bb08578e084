// Boots of a whole Debian from its disk to the login prompt: ours under `xl`, QEMU's with the same image, kernel and initrd.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, V8_FLAGS } from '../../bin/setup.cjs';
import { overlay, type DebianImage } from '../../guests/debian/build.ts';
import { open_image } from '../../services/block/image/open.ts';
import { bootFromImage } from '../../services/bootloader/backend/sources.ts';
import { extractElf } from '../../services/domain_builder/protocol/index.ts';
import { cpuSeconds, tscKhz } from './host.ts';

export interface Boot {
  /** to `login:` */
  seconds: number;
  /** processor seconds of the machine's process until then */
  cpu: number;
}

const LIMIT_MS = 600_000;
const PROMPT = / login: /;

/** Waits for the prompt. */
function prompt(child: ChildProcess): Promise<void> {
  let seen = '';
  return new Promise((resolve, reject) => {
    const limit = setTimeout(() => reject(new Error(`no login prompt in time: ${seen.slice(-1000)}`)), LIMIT_MS);
    child.stdout!.on('data', (bytes: Buffer) => {
      seen = (seen + bytes.toString('latin1')).slice(-4000);
      if (PROMPT.test(seen)) resolve(clearTimeout(limit));
    });
    child.on('close', () => reject(new Error(`it ended before the login prompt: ${seen.slice(-1000)}`)));
  });
}

const program = (script: string, args: string[], state: string): ChildProcess =>
  spawn(process.execPath, [...V8_FLAGS, join(ROOT, script), ...args], {
    env: { ...process.env, XENOLITH_STATE: state },
    stdio: ['pipe', 'pipe', 'inherit'],
  });

/** The host stands already, as it does on Xen; the clock runs from `xl create` to the prompt. */
export async function bootOurs(image: DebianImage, folder: string, memory: number): Promise<Boot> {
  mkdirSync(folder);
  const state = join(folder, 'state');
  const disk = await overlay(image, join(folder, 'disk.qcow2'));
  const config = join(folder, 'debian.cfg');
  const lines = ['name="debian"', 'type="pvh"', `memory=${memory}`, 'bootloader="pygrub"', 'vif=[""]'];
  writeFileSync(config, [...lines, `disk=["${disk},qcow2,xvda,w"]`, ''].join('\n'));
  const host = program('cli/main.ts', ['up', '--memory', String(memory + 16)], state);
  await once(host.stdout!, 'data');
  const before = cpuSeconds(host.pid!);
  const began = performance.now();
  const console = program('cli/xl/main.ts', ['create', '-qc', config], state);
  try {
    await prompt(console);
    return { seconds: (performance.now() - began) / 1000, cpu: cpuSeconds(host.pid!) - before };
  } finally {
    console.kill();
    const closed = once(host, 'close');
    host.kill('SIGKILL');
    await closed;
  }
}

export interface Parts {
  elf: string;
  initrd: string;
  args: string;
}

/** Kernel, initrd and arguments as our boot loader finds them in the image: QEMU is given them by name. */
export async function partsOf({ path }: DebianImage, folder: string): Promise<Parts> {
  const image = await open_image(path, { format: 'qcow2', readonly: true });
  const { kernel, ramdisk, args } = await bootFromImage(image);
  await image.close();
  const [elf, initrd] = [join(folder, 'vmlinux'), join(folder, 'initrd')];
  writeFileSync(elf, extractElf(kernel));
  writeFileSync(initrd, ramdisk!);
  return { elf, initrd, args: args.replace('console=hvc0', 'console=ttyS0') };
}

/** virtio-blk and virtio-net with user networking, on the smallest machine that QEMU has. */
export async function bootQemu(
  image: DebianImage,
  parts: Parts,
  folder: string,
  { memory, cpu }: { memory: number; cpu: string },
): Promise<Boot> {
  mkdirSync(folder);
  const disk = await overlay(image, join(folder, 'disk.qcow2'));
  const machine = ['-M', 'microvm', '-accel', 'tcg', '-cpu', cpu, '-m', String(memory), '-nographic', '-no-reboot'];
  const devices = [
    ...['-drive', `file=${disk},if=none,id=d,format=qcow2,cache=writeback`, '-device', 'virtio-blk-device,drive=d'],
    ...['-netdev', 'user,id=n', '-device', 'virtio-net-device,netdev=n'],
  ];
  const append = `${parts.args} tsc_early_khz=${tscKhz()} tsc=reliable`;
  const guest = ['-kernel', parts.elf, '-initrd', parts.initrd, '-append', append];
  const began = performance.now();
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...machine, ...devices, ...guest], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  try {
    await prompt(child);
    return { seconds: (performance.now() - began) / 1000, cpu: cpuSeconds(child.pid!) };
  } finally {
    child.kill('SIGKILL');
  }
}
