// `xl create`, `xl config-update`: a configuration file and what the command line adds to it.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import {
  ConfigError,
  configJson,
  domainConfig,
  libxlJson,
  parseSettings,
  PoolError,
} from '../../toolstack/config/index.ts';
import type { DomainConfig } from '../../toolstack/config/index.ts';
import { Refused } from '../../toolstack/control/refused.ts';
import { attach } from './console.ts';
import { viewerAddress } from './display.ts';
import { describe } from './follow.ts';
import type { Xl } from './context.ts';
import { Failure, type Given, type Option, type Verb } from './verb.ts';

const DEFCONFIG: Option = { short: 'f', long: 'defconfig', value: 'FILE', help: 'Use this configuration file.' };

/** libxl's numbers as exit codes. */
const EXIT_INVAL = 6;
const EXIT_FAIL = 3;

interface Read {
  config: DomainConfig;
  source: string;
}

const WHY: Readonly<Record<string, string>> = {
  ENOENT: 'No such file or directory',
  EACCES: 'Permission denied',
  EISDIR: 'Is a directory',
};

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    throw new Failure(`Failed to read config file: ${file}: ${WHY[code] ?? code}`, EXIT_FAIL);
  }
}

/** The first argument without `=` is the file; the others are lines that follow it. */
function readConfig(xl: Xl, { options, args }: Given, quiet: boolean): Read {
  const rest = [...args];
  const named = rest.findIndex((arg) => !arg.includes('='));
  const file = (options.get('defconfig') as string | undefined) ?? (named >= 0 ? rest.splice(named, 1)[0] : undefined);
  if (file === undefined)
    throw new Failure('xl: no configuration file is named: give one (`xl create FILE`).', EXIT_INVAL);
  const odd = rest.find((arg) => !arg.includes('='));
  if (odd !== undefined)
    throw new Failure(`xl: nothing is known of '${odd}': behind the file come settings, KEY=VALUE.`, EXIT_INVAL);
  const text = readText(file);
  if (!quiet) xl.error(`Parsing config from ${file}`);
  // A file may lack its last line end: what is added begins a line of its own.
  const source = rest.length === 0 ? text : `${text}\n${rest.join('\n')}\n`;
  try {
    const settings = parseSettings(source, file);
    const config = domainConfig(settings, (path) => resolve(path));
    for (const warning of settings.warnings) xl.error(warning);
    return { config, source };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new Failure(error.message, error instanceof PoolError ? EXIT_INVAL : 1);
  }
}

async function create(xl: Xl, given: Given): Promise<number> {
  const { options } = given;
  const wants = (key: string): boolean => options.has(key);
  const viewer = wants('vncviewer') || wants('vncviewer-autopass');
  const dryRun = wants('dryrun') || xl.global.dryRun;
  const { config, source } = readConfig(xl, given, wants('quiet'));
  if (dryRun || wants('d')) xl.out(libxlJson(configJson({ ...config, uuid: config.uuid ?? crypto.randomUUID() })));
  if (dryRun) return 0;
  const console = wants('c');
  const paused = wants('p');
  const foreground = wants('F');
  // Nothing of what the guest says or does first is to be missed.
  const held = paused || console || foreground;
  const { domid } = await made(xl, { config, source, paused: held, unattended: wants('e') });
  const client = await xl.host();
  const following = foreground
    ? client.call('domain.follow', { domids: [domid], until: 'end' }, { event: (e) => xl.error(describe(e)) })
    : undefined;
  const run = (): Promise<unknown> => (held && !paused ? xl.must('domain.unpause', { domid }) : Promise.resolve());
  if (viewer) xl.error(`VNC: ${await viewerAddress(xl, domid)}`);
  if (console) await attach(client, domid, run);
  else await run();
  await following;
  return 0;
}

async function made(xl: Xl, params: object): Promise<{ domid: number }> {
  try {
    return await xl.call<{ domid: number }>('domain.create', params);
  } catch (error) {
    if (error instanceof Refused) throw new Failure(`xl: ${error.message}`, EXIT_FAIL);
    throw error;
  }
}

async function configUpdate(xl: Xl, given: Given): Promise<number> {
  const [name, ...args] = given.args;
  const domid = await xl.domid(name!);
  const { config, source } = readConfig(xl, { ...given, args }, true);
  if (given.options.has('d') || xl.global.dryRun) xl.out(libxlJson(configJson(config)));
  if (xl.global.dryRun) return 0;
  xl.error(`setting dom${domid} configuration`);
  await xl.must('domain.config-update', { domid, config, source });
  return 0;
}

export const CREATE: Verb[] = [
  {
    name: 'create',
    usage: '<ConfigFile> [options] [KEY=VALUE ...]',
    about: 'Create a domain from a configuration file',
    options: [
      { short: 'c', help: "Connect to the domain's console; Ctrl-] leaves it." },
      { short: 'p', help: 'Leave the domain paused.' },
      { short: 'q', long: 'quiet', help: 'Say nothing of what goes well.' },
      { short: 'd', help: 'Print the configuration too.' },
      { short: 'n', long: 'dryrun', help: 'Print the configuration, and create nothing.' },
      { short: 'e', help: 'Do nothing when the domain stops: it stays until it is destroyed.' },
      { short: 'F', help: 'Stay in the foreground until the domain is gone, and say what becomes of it.' },
      DEFCONFIG,
      { short: 'V', long: 'vncviewer', help: 'Say where a VNC viewer finds the screen.' },
      { short: 'A', long: 'vncviewer-autopass', help: 'The same.' },
    ],
    completes: 'file',
    run: create,
  },
  {
    name: 'config-update',
    usage: '<Domain> <ConfigFile> [options] [KEY=VALUE ...]',
    about: 'Replace the configuration of which a domain will be made at its next reboot; its name and UUID stay',
    options: [DEFCONFIG, { short: 'd', help: 'Print the configuration too.' }],
    needs: 1,
    completes: 'domain',
    run: configUpdate,
  },
];
