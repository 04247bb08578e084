// `xenolith simulate`: XenAPI on a host that is not there, for who writes clients.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { tryAcquire } from '../../bin/lock.cjs';
import { Refused } from '../../toolstack/control/refused.ts';
import { BadDatabase } from '../../toolstack/xenapi/database/store.ts';
import { serve } from '../../toolstack/xenapi/server.ts';
import { Simulator } from '../../toolstack/xenapi/xenops/simulator.ts';
import { EXIT, number, parse, UsageError } from '../options.ts';
import { address } from './options.ts';
import { toldWhere, welcome } from './xenapi.ts';
import { VERSION } from './version.ts';

const OPTIONS = {
  listen: { type: 'string', value: '[ADDR:]PORT', help: 'TLS (8443; address: 127.0.0.1)' },
  http: { type: 'string', value: '[ADDR:]PORT', help: 'without TLS as well' },
  state: { type: 'string', value: 'DIR', help: 'keep the database there; without, it goes with the program' },
  memory: { type: 'string', value: 'GIB', help: 'memory of the host (64)' },
  cpus: { type: 'string', value: 'N', help: 'its processors (8)' },
  help: { type: 'boolean', short: 'h', help: 'show this' },
} as const;

const MAX_MEMORY_GIB = 1 << 20;
const MAX_CPUS = 4096;

function help(): string {
  const line = ([name, option]: [string, { value?: string; help: string }]) =>
    `  --${name}${option.value ? ` ${option.value}` : ''}`.padEnd(24) + option.help;
  return [
    'usage: xenolith simulate [options]',
    '',
    'simulate: serves XenAPI of a host whose virtual machines are only records: they start and stop at once, and cost nothing. Ctrl-C ends it.',
    '',
    ...Object.entries(OPTIONS).map(line),
    '',
    'exit code: 0 done; 1 it failed; 64 wrong usage; 65 the database cannot be read',
    '',
  ].join('\n');
}

export async function simulate(args: string[]): Promise<number> {
  const { values, positionals } = parse(args, OPTIONS);
  const given = values as Partial<Record<keyof typeof OPTIONS, string>>;
  if (given.help) {
    process.stdout.write(help());
    return 0;
  }
  if (positionals.length > 0)
    throw new UsageError(`Nothing is known of '${positionals[0]}': \`xenolith simulate --help\` shows what there is.`);
  const memory = number('memory', given.memory ?? '64', 1, MAX_MEMORY_GIB, true) * 2 ** 30;
  const cpus = number('cpus', given.cpus ?? '8', 1, MAX_CPUS, true);
  const tls = address('listen', given.listen ?? '8443');
  const plain = given.http === undefined ? undefined : address('http', given.http);
  const state = given.state === undefined ? mkdtempSync(join(tmpdir(), 'xenolith-simulate-')) : resolve(given.state);
  mkdirSync(state, { recursive: true, mode: 0o700 });
  const lock = await tryAcquire(`${state}/host`);
  try {
    if (!lock) throw new Refused(`a host runs on ${state} already: choose another folder by --state.`);
    await run(state, new Simulator({ memory, cpus }), tls, plain);
    return 0;
  } catch (error) {
    if (!(error instanceof BadDatabase || error instanceof Refused)) throw error;
    process.stderr.write(`xenolith: ${error.message}\n`);
    return error instanceof BadDatabase ? EXIT.badImage : EXIT.failed;
  } finally {
    lock?.release();
    if (given.state === undefined) rmSync(state, { recursive: true, force: true });
  }
}

type Address = ReturnType<typeof address>;

async function run(state: string, xenops: Simulator, tls: Address, plain: Address | undefined): Promise<void> {
  const log = (text: string): boolean => process.stderr.write(`${text}\n`);
  const server = await toldWhere('--listen or --http', () =>
    serve({ state, xenops, log, version: VERSION, tls, plain }),
  );
  for (const sentence of welcome(server, tls.host, state)) process.stdout.write(`${sentence}\n`);
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => resolve());
  });
  await server.close();
}
