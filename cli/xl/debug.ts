// `xl trigger`, `dump-core`: looking into a guest from outside.
import { closeSync, fstatSync, openSync, rmSync, writeSync } from 'node:fs';
import {
  XEN_DOMCTL_SENDTRIGGER_INIT,
  XEN_DOMCTL_SENDTRIGGER_NMI,
  XEN_DOMCTL_SENDTRIGGER_POWER,
  XEN_DOMCTL_SENDTRIGGER_RESET,
  XEN_DOMCTL_SENDTRIGGER_SLEEP,
} from '../../spec/abi/constants.ts';
import { Refused } from '../../toolstack/control/refused.ts';
import type { Xl } from './context.ts';
import { Failure, type Given, type Verb } from './verb.ts';

const TRIGGERS: Readonly<Record<string, number>> = {
  nmi: XEN_DOMCTL_SENDTRIGGER_NMI,
  reset: XEN_DOMCTL_SENDTRIGGER_RESET,
  init: XEN_DOMCTL_SENDTRIGGER_INIT,
  power: XEN_DOMCTL_SENDTRIGGER_POWER,
  sleep: XEN_DOMCTL_SENDTRIGGER_SLEEP,
};

async function trigger(xl: Xl, { args }: Given): Promise<number> {
  const [name, what, cpu = '0'] = args as [string, string, string?];
  const domid = await xl.domid(name);
  const number = Object.hasOwn(TRIGGERS, what) ? TRIGGERS[what] : undefined;
  if (what === 's3resume') throw new Failure('xl: no guest here sleeps in S3: there is nothing to resume.');
  if (number === undefined)
    throw new Failure(`Invalid trigger "${what}": there are ${Object.keys(TRIGGERS).join(', ')}.`);
  if (!/^\d{1,4}$/.test(cpu)) throw new Failure(`xl: '${cpu}' is no number of a vCPU.`);
  await xl.tell('domain.trigger', { domid, trigger: number, vcpu: Number(cpu) });
  return 0;
}

const COMPLAINT: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EACCES: 'it may not be written',
  EISDIR: 'it is a folder',
  ENOENT: 'there is no such folder',
};

async function dumpCore(xl: Xl, { args }: Given): Promise<number> {
  const [name, file] = args as [string, string];
  const { domid } = await xl.domain(name);
  if (domid === 0) throw new Failure('xl: Domain-0 is the host itself: guests can be dumped.');
  let fd: number;
  try {
    fd = openSync(file, 'w', 0o600);
  } catch (error) {
    throw unwritable(file, error);
  }
  const regular = fstatSync(fd).isFile();
  let failure: Error | undefined;
  try {
    const client = await xl.host();
    const call = client.start(
      'domain.dump',
      { domid },
      {
        data: (bytes) => {
          if (failure) return;
          try {
            for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
          } catch (error) {
            failure = unwritable(file, error);
            call.end();
          }
        },
      },
    );
    await call.result;
  } catch (error) {
    failure ??= error instanceof Refused ? new Failure(`xl: ${error.message}`) : (error as Error);
  } finally {
    closeSync(fd);
  }
  if (!failure) return 0;
  // Half a dump is none; what was there before the dump, a device or a pipe, stays.
  if (regular) rmSync(file, { force: true });
  throw failure;
}

function unwritable(file: string, error: unknown): Failure {
  const { code = '' } = error as NodeJS.ErrnoException;
  return new Failure(`xl: the core cannot be written to ${file}: ${COMPLAINT[code] ?? code}; name another file.`);
}

export const DEBUG: Verb[] = [
  {
    name: 'trigger',
    usage: `<Domain> <${[...Object.keys(TRIGGERS), 's3resume'].join('|')}> [<VCPU>]`,
    about: 'Send a trigger to a domain: an NMI is what guests here take',
    needs: 2,
    completes: 'domain',
    run: trigger,
  },
  {
    name: 'dump-core',
    usage: '<Domain> <filename>',
    about: "Write a domain's memory and registers to a file, in Xen's dump-core format; it stands meanwhile",
    needs: 2,
    completes: 'domain',
    run: dumpCore,
  },
];
