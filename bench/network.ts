// `npm run bench network -- [--runs N] [--megabytes N] [--quick]`: TCP of a Debian guest to and from the host's loopback through the gateway, under
// Xenolith (xen-netfront) and under QEMU's TCG (virtio-net, user networking) in turn; --quick: under Xenolith alone.
import '../bin/parent.cjs';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { kernelElf } from '../guests/image/elf.ts';
import { guestImage } from '../guests/image/index.ts';
import { NET_INIT, netInitrd } from '../guests/net/build.ts';
import { Bed } from '../test/host/bed.ts';
import { Servers } from '../test/network/traffic.ts';
import { need } from '../tools/apt.ts';
import { cpuSeconds, median, tscKhz } from './lib/host.ts';

const MEMORY_MIB = 256;
const LIMIT_MS = 600_000;
const KINDS = ['xenolith', 'tcg'] as const;
type Kind = (typeof KINDS)[number];

interface Way {
  seconds: number;
  cpu: number;
}

const order = (to: number, from: number, bytes: number): string =>
  `quiet rdinit=${NET_INIT} xenolith.traffic=${to},${from},${bytes}`;

/** Starts a guest that does its order; gives the process whose time counts, and its end. */
async function xenolith(cmdline: string): Promise<{ pid: number; end: () => Promise<void> }> {
  const bed = new Bed();
  await bed.up('--memory', '512');
  const { code, err } = await bed.run('xenolith', ['net', 'create', 'xenbr0', '--subnet', '10.0.2.0/24', '--host-loopback']); // prettier-ignore
  if (code !== 0) throw new Error(err);
  const { kernel } = guestImage();
  const lines = { type: 'pvh', kernel, ramdisk: await netInitrd(), memory: MEMORY_MIB, vif: ['bridge=xenbr0'] };
  await bed.create('bench', { ...lines, cmdline: `console=hvc0 ${cmdline}` });
  return { pid: bed.pid, end: () => bed.close() };
}

async function tcg(cmdline: string): Promise<{ pid: number; end: () => Promise<void> }> {
  const image = guestImage();
  const machine = ['-M', 'microvm', '-accel', 'tcg', '-cpu', 'Nehalem', '-m', String(MEMORY_MIB), '-nographic', '-no-reboot']; // prettier-ignore
  const network = ['-netdev', 'user,id=net', '-device', 'virtio-net-device,netdev=net'];
  const text = `console=ttyS0 tsc_early_khz=${tscKhz()} tsc=reliable ${cmdline}`;
  const guest = ['-kernel', kernelElf(image), '-initrd', await netInitrd(true), '-append', text];
  const args = ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...machine, ...network, ...guest];
  const child: ChildProcess = spawn('setpriv', args, { stdio: ['ignore', process.env.SHOW ? 'inherit' : 'ignore', 'ignore'] }); // prettier-ignore
  const closed = once(child, 'close');
  const end = async (): Promise<void> => {
    child.kill('SIGKILL');
    await closed;
  };
  return { pid: child.pid!, end };
}

/** One guest: out, then in. */
async function run(kind: Kind, bytes: number): Promise<{ out: Way; in: Way }> {
  const servers = new Servers();
  try {
    const [sink, source] = [await servers.sink(), await servers.source(bytes)];
    const machine = await (kind === 'tcg' ? tcg : xenolith)(order(sink.port, source.port, bytes));
    const late = setTimeout(() => void machine.end(), LIMIT_MS);
    try {
      const measured = async (next: () => Promise<{ text: string; seconds: number; cpu: number }>): Promise<Way> => {
        const { text, seconds, cpu } = await next();
        if (!text.startsWith(`${bytes} `)) throw new Error(`${kind}: ${text}, not ${bytes} bytes`);
        return { seconds, cpu };
      };
      servers.clock = () => cpuSeconds(machine.pid);
      return { out: await measured(sink.next), in: await measured(source.next) };
    } finally {
      clearTimeout(late);
      await machine.end();
    }
  } finally {
    servers.close();
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { runs: { type: 'string', default: '3' }, megabytes: { type: 'string', default: '200' }, quick: { type: 'boolean', default: false } } }); // prettier-ignore
  const bytes = Number(values.megabytes) * 1e6;
  await need('gcc', 'libc6-dev', 'qemu-system-x86');
  const all: Record<Kind, { out: Way; in: Way }[]> = { xenolith: [], tcg: [] };
  for (let n = 1; n <= Number(values.runs); n++) {
    for (const kind of values.quick ? KINDS.slice(0, 1) : KINDS) {
      const found = await run(kind, bytes);
      all[kind].push(found);
      const rate = ({ seconds, cpu }: Way): string => `${(bytes / 1e6 / seconds).toFixed(1)} MB/s (${cpu.toFixed(1)} s CPU)`; // prettier-ignore
      console.error(`run ${n}, ${kind}: out ${rate(found.out)}, in ${rate(found.in)}`);
    }
  }
  if (values.quick) return;
  for (const way of ['out', 'in'] as const) {
    const of = (kind: Kind, key: keyof Way): number => median(all[kind].map((found) => found[way][key]));
    const [time, cpu] = (['seconds', 'cpu'] as const).map((key) => of('tcg', key) / of('xenolith', key));
    console.log(`${way.padEnd(4)} throughput ${time!.toFixed(2)} of TCG's, by processor time ${cpu!.toFixed(2)}`);
  }
}

await main();
