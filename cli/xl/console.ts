// `xl console`: a guest's console on this terminal.
import type { ControlClient } from '../../toolstack/control/client.ts';
import { Refused } from '../../toolstack/control/refused.ts';
import { openTerminal } from '../terminal.ts';
import type { Xl } from './context.ts';
import { Failure, type Given, type Verb } from './verb.ts';

/** Ends when the guest does, or a person leaves by Ctrl-]. `ready` is called when nothing can be missed any more. */
export async function attach(
  client: ControlClient,
  which: number | string,
  ready?: () => Promise<unknown>,
  number = 0,
): Promise<void> {
  const terminal = openTerminal();
  try {
    const params = { ...(typeof which === 'number' ? { domid: which } : { name: which }), number };
    const call = client.start<null>('domain.console', params, { data: (bytes) => terminal.write(bytes) });
    terminal.onDrain(() => call.resume());
    terminal.onInput((bytes) => {
      if (call.send(bytes)) return;
      process.stdin.pause();
    });
    call.onDrain(() => process.stdin.resume());
    const left = new Promise<void>((resolve) => terminal.onEscape(resolve));
    await Promise.all([ready?.(), Promise.race([left, call.result])]);
  } finally {
    terminal.close();
  }
}

async function console(xl: Xl, { options, args }: Given): Promise<number> {
  const type = options.get('t') ?? 'pv';
  if (type !== 'pv') throw new Failure(`xl: guests here have a pv console only, not '${String(type)}'.`);
  const number = String(options.get('n') ?? '0');
  if (!/^\d{1,3}$/.test(number)) throw new Failure(`xl: '${number}' is no console's number.`);
  const which = /^\d{1,5}$/.test(args[0]!) ? Number(args[0]) : args[0]!;
  if (which === 0 || which === 'Domain-0')
    throw new Failure("xl: Domain-0 has no console: it is the host itself; `xl dmesg` shows the hypervisor's.", 22);
  try {
    await attach(await xl.host(), which, undefined, Number(number));
  } catch (error) {
    if (error instanceof Refused) throw new Failure(typeof which === 'string' ? error.message : `xl: ${error.message}`);
    throw error;
  }
  return 0;
}

export const CONSOLE: Verb[] = [
  {
    name: 'console',
    usage: '[options] <Domain>',
    about:
      "Connect to a domain's console; Ctrl-] leaves it. What it said and nobody has seen yet comes first, even if it has ended since",
    options: [
      { short: 't', value: 'TYPE', help: 'The type of console: pv is the only one.' },
      {
        short: 'n',
        value: 'NUMBER',
        help: 'The number of the console: 0 is the primary one, `xl channel-list` shows more.',
      },
    ],
    needs: 1,
    completes: 'domain',
    run: console,
  },
];
