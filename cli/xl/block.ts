// Verbs of disks: block-attach, -list, -detach, -resize, cd-insert, cd-eject.
import { resolve } from 'node:path';
import { ConfigError } from '../../toolstack/config/index.ts';
import { amount, parseDisk, type DiskConfig } from '../../toolstack/config/disk.ts';
import type { DiskFacts } from '../../services/xenops/disks.ts';
import type { Xl } from './context.ts';
import { Failure, type Given, type Verb } from './verb.ts';

const HEAD = 'Vdev  BE  handle state evt-ch ring-ref BE-path                       ';

function described(text: string): DiskConfig {
  try {
    return parseDisk(text, (path) => resolve(path));
  } catch (error) {
    throw error instanceof ConfigError ? new Failure(`xl: ${error.message}`) : error;
  }
}

async function attach(xl: Xl, { args: [given, ...spec] }: Given): Promise<number> {
  const domid = await xl.domid(given!);
  const disk = described(spec.join(','));
  if (xl.global.dryRun) xl.out(`disk: ${JSON.stringify(disk)}`);
  else await xl.must('disk.attach', { domid, disk });
  return 0;
}

async function detach(xl: Xl, { args, options }: Given): Promise<number> {
  const [given, vdev] = args as [string, string];
  const domid = await xl.domid(given);
  const disks = await xl.must<DiskFacts[]>('disk.list', { domid });
  const number = /^\d+$/.test(vdev) ? Number(vdev) : undefined;
  const disk = disks.find((each) => each.vdev === vdev || each.number === number);
  if (!disk) throw new Failure(`Error: Device ${vdev} not connected.`);
  const force = options.has('force') || xl.global.force;
  if (!xl.global.dryRun) await xl.must('disk.detach', { domid, vdev: disk.vdev, force });
  return 0;
}

async function list(xl: Xl, { args }: Given): Promise<number> {
  xl.out(HEAD);
  for (const arg of args) {
    const domid = await xl.domid(arg);
    const disks = await xl.must<DiskFacts[]>('disk.list', { domid });
    for (const { number, backend, state, evtchn, ringRef, path } of disks) {
      const columns = [
        String(number).padEnd(5),
        String(backend).padEnd(3),
        '1     ',
        String(state).padEnd(5),
        (evtchn || '-1').padEnd(6),
        (ringRef || '-1').padEnd(8),
        path,
      ];
      xl.out(columns.join(' '));
    }
  }
  return 0;
}

async function insert(xl: Xl, { args }: Given): Promise<number> {
  const [given, vdev, path] = args as [string, string, string];
  const domid = await xl.domid(given);
  const disk = described(`vdev=${vdev},cdrom,target=${path}`);
  if (!xl.global.dryRun) await xl.must('disk.change', { domid, vdev, disk });
  return 0;
}

async function eject(xl: Xl, { args }: Given): Promise<number> {
  const [given, vdev] = args as [string, string];
  const domid = await xl.domid(given);
  if (!xl.global.dryRun) await xl.must('disk.change', { domid, vdev, disk: null });
  return 0;
}

async function resize(xl: Xl, { args }: Given): Promise<number> {
  const [given, vdev, text] = args as [string, string, string];
  const size = amount(text);
  if (size === undefined) throw new Failure(`xl: '${text}' is no size: a number of bytes, or with K, M, G, T.`);
  const domid = await xl.domid(given);
  if (!xl.global.dryRun) await xl.must('disk.resize', { domid, vdev, size });
  return 0;
}

export const BLOCK: Verb[] = [
  {
    name: 'block-list',
    usage: '<Domain(s)>',
    about: "Show a domain's block devices",
    needs: 1,
    completes: 'domain',
    run: list,
  },
  {
    name: 'block-attach',
    usage: '<Domain> <disk-spec-component(s)>...',
    about: 'Give a domain a block device',
    needs: 2,
    completes: 'domain',
    run: attach,
  },
  {
    name: 'block-detach',
    usage: '<Domain> <DevId>',
    about: 'Take a block device from a domain',
    options: [{ short: 'f', long: 'force', help: 'Do not wait until the guest has let it go.' }],
    needs: 2,
    completes: 'domain',
    run: detach,
  },
  {
    name: 'block-resize',
    usage: '<Domain> <VirtualDevice> <size>',
    about: 'Make a disk larger while the guest has it (Xenolith only)',
    needs: 3,
    completes: 'domain',
    run: resize,
  },
  {
    name: 'cd-insert',
    usage: '<Domain> <VirtualDevice> <path>',
    about: 'Put a CD into a drive: the guest sees the drive go and come back with it',
    needs: 3,
    completes: 'domain',
    run: insert,
  },
  {
    name: 'cd-eject',
    usage: '<Domain> <VirtualDevice>',
    about: 'Take the CD out of a drive: the guest sees the drive go',
    needs: 2,
    completes: 'domain',
    run: eject,
  },
];
