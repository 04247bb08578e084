// `xenolith up`: the host process. It holds its folder's lock, which the kernel drops with it, and serves the control socket until it is
// told to end or a signal comes.
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, realpathSync, rmSync, writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { tryAcquire } from '../../bin/lock.cjs';
import { loadCore } from '../../platform/core.ts';
import { Machine } from '../../platform/machine.ts';
import { listen as listenStore, type StoreListener } from '../../services/xenstore/backend/socket.ts';
import { Host } from '../../services/xenops/host.ts';
import { ControlServer } from '../../toolstack/control/server.ts';
import { Refused } from '../../toolstack/control/refused.ts';
import { dumpToFile } from '../../toolstack/host/core_dump.ts';
import { Domains } from '../../toolstack/host/domains.ts';
import { LifeCycle } from '../../toolstack/host/lifecycle.ts';
import { domainMethods } from '../../toolstack/host/methods.ts';
import { restoreNetworks } from '../../toolstack/host/nics.ts';
import { endAll, hostMethods } from '../../toolstack/host/service.ts';
import { paths, State, tooLong, type Kept } from '../../toolstack/host/state.ts';
import { EXIT } from '../options.ts';
import type { Server as XenApi } from '../../toolstack/xenapi/server.ts';
import { HostLog } from './log.ts';
import type { HostOptions } from './options.ts';
import { VERSION } from './version.ts';
import { addressText, toldWhere, welcome } from './xenapi.ts';

const MIB = 2 ** 20;
/** A detached host's word to who started it, on this descriptor. */
const READY_FD = 3;
const READY = 'ready';
const DETACHED = 'XENOLITH_DETACHED';

export async function up(options: HostOptions): Promise<number> {
  prepareFolder(options.state);
  return options.detach ? detach(options) : serve(options);
}

function prepareFolder(state: string): void {
  if (tooLong(state))
    throw new Refused(`the folder ${state} has too long a name for sockets in it: choose a shorter one by --state.`);
  try {
    mkdirSync(state, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new Refused(
      `the folder ${state} cannot be made (${(error as NodeJS.ErrnoException).code}): name another by --state.`,
    );
  }
}

/** Starts the host as a process of its own and waits for its word. */
async function detach(options: HostOptions): Promise<number> {
  const args = ['up', '--state', options.state, '--memory', String(options.memory)];
  if (options.xenapi) args.push('--xenapi', addressText(options.xenapi));
  const script = fileURLToPath(new URL('../main.ts', import.meta.url));
  const child = spawn(process.execPath, [...process.execArgv, script, ...args], {
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    env: { ...process.env, XENOLITH_PARENT: 'none', [DETACHED]: '1' },
  });
  let complaint = '';
  let word = '';
  const [, , errors, ready] = child.stdio;
  errors!.on('data', (bytes: Buffer) => (complaint += bytes.toString()));
  ready!.on('data', (bytes: Buffer) => (word += bytes.toString()));
  const started = await new Promise<boolean>((resolve) => {
    ready!.on('data', () => word.includes(`${READY}\n`) && resolve(true));
    child.on('close', () => resolve(false));
  });
  process.stdout.write(word.replace(`${READY}\n`, ''));
  process.stderr.write(complaint);
  child.unref();
  if (started) return 0;
  return child.exitCode ?? EXIT.failed;
}

async function serve(options: HostOptions): Promise<number> {
  const folder = realpathSync(options.state);
  const lock = await tryAcquire(`${folder}/host`);
  if (!lock)
    throw new Refused(`a host runs on ${options.state} already${processOf(folder)}: \`xenolith down\` ends it.`);
  const detached = process.env[DETACHED] === '1';
  const state = new State(folder);
  const log = new HostLog(state.paths.log, !detached);
  const say = detached ? announce : (text: string): boolean => process.stdout.write(`${text}\n`);
  try {
    const lost = state.recover();
    state.writePid();
    if (lost.length > 0) {
      const sentence = lostSentence(lost, state.paths.lost);
      log.write(sentence);
      if (detached) say(sentence);
    }
    return await run(options, state, log, (sentences) => {
      for (const sentence of [...sentences, `the host of ${folder} is ready.`]) say(sentence);
      if (detached) say(READY);
    });
  } finally {
    state.close();
    log.close();
    lock.release();
  }
}

function processOf(folder: string): string {
  try {
    return ` (process ${readFileSync(paths(folder).pid, 'utf8').trim()})`;
  } catch {
    return '';
  }
}

function lostSentence(lost: Kept[], folder: string): string {
  const names = lost.map(({ domid, config }) => `'${config.name}' (${domid})`).join(', ');
  const what = lost.length === 1 ? 'a domain' : `${lost.length} domains`;
  return `the last host did not end by \`xenolith down\`; lost with it: ${what}: ${names}; the configurations are in ${folder}.`;
}

/** Whoever started this process reads it, if he is still there. */
function announce(text: string): boolean {
  try {
    writeSync(READY_FD, `${text}\n`);
  } catch {
    // He has gone; the host stays.
  }
  return true;
}
/** XenAPI on this host; what a person needs to know of it is said by `ready`. */
async function serveXenApi(
  domains: Domains,
  options: HostOptions,
  state: State,
  log: HostLog,
): Promise<XenApi | undefined> {
  if (!options.xenapi) return undefined;
  const { serve, xenapiPaths } = await import('../../toolstack/xenapi/server.ts');
  const { Hypervisor } = await import('../../toolstack/xenapi/xenops/hypervisor.ts');
  const folder = state.paths.folder;
  const { boot } = xenapiPaths(folder);
  const xenops = new Hypervisor(domains, boot);
  const { xenapi: tls } = options;
  return toldWhere('--xenapi', () =>
    serve({ state: folder, xenops, log: (text) => log.write(text), version: VERSION, tls }),
  );
}

async function run(
  options: HostOptions,
  state: State,
  log: HostLog,
  ready: (sentences: string[]) => void,
): Promise<number> {
  const machine = new Machine({ memory: options.memory * MIB }, loadCore());
  const host = new Host(machine);
  const stop = new AbortController();
  let failure: Error | undefined;
  machine.onFailure((error) => {
    failure = error;
    stop.abort();
  });
  let told = false;
  machine.onUntranslated((error) => {
    if (!told) log.write(`some code cannot be translated and is interpreted (${error.message}); please report it`);
    told = true;
  });
  const domains = new Domains(host, state, (text) => log.write(text));
  const lifeCycle = new LifeCycle(domains, state.paths.dump, ({ domid }, path) => dumpToFile(domains, domid, path));
  const memory = domains.calls.freeBytes();
  const facts = { paths: state.paths, version: VERSION, memory };
  const methods = { ...domainMethods(domains), ...hostMethods(domains, lifeCycle, facts, () => stop.abort()) };
  const server = new ControlServer(state.paths.control, methods, (error) => log.write(`a call failed: ${error.stack}`));
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  const end = (signal: string): void => {
    log.write(`${signal}: the host ends`);
    stop.abort();
  };
  for (const signal of signals) process.on(signal, end);
  let store: StoreListener | undefined;
  let api: XenApi | undefined;
  try {
    await server.listen();
    // A file that lies there is a dead host's: this one holds the folder's lock.
    rmSync(state.paths.xenstore, { force: true });
    store = await listenStore(host.store, state.paths.xenstore);
    log.write(`host ${VERSION} up: process ${process.pid}, ${options.memory} MiB`);
    await restoreNetworks(domains);
    api = await serveXenApi(domains, options, state, log);
    ready(api ? welcome(api, options.xenapi!.host, state.paths.folder) : []);
    await host.run(() => failure !== undefined, stop.signal);
    if (failure) throw failure;
    await endAll(domains, lifeCycle, 0);
    log.write('host down');
    return 0;
  } catch (error) {
    log.write(`the host has failed: ${(error as Error).stack}`);
    throw error;
  } finally {
    await Promise.all([server.close(), store?.close(), api?.close()]);
    await host.stop();
  }
}
