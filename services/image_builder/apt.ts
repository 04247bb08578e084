// Debian packages through the ordinary package client, for any user: apt with a state folder of our own, but the system's
// sources and keys, so that what arrives is verified as on the system itself.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Readable } from 'node:stream';
import { ImageError } from './error.ts';

export { ImageError };

/** What a person can do without the image. */
const WITHOUT = 'name a kernel and an initrd, `xenolith run --kernel FILE --initrd FILE`';

const LISTS_LAST_MS = 24 * 3600 * 1000;

/** An executable's path, if the PATH has it. */
function which(name: string): string | undefined {
  const folders = (process.env.PATH ?? '').split(':').filter((folder) => folder !== '');
  return folders.map((folder) => join(folder, name)).find((file) => existsSync(file));
}

/** Starts a program that ends with this process: the kernel sees to it where setpriv exists, as on every Debian. Its
 * output is shown, or left to the caller to read (`piped`); then its complaints are part of the error only. */
export function start(name: string, args: string[], options: { cwd?: string; piped?: boolean } = {}) {
  const setpriv = which('setpriv');
  const [command, ...rest] = setpriv ? [setpriv, '--pdeathsig', 'TERM', name, ...args] : [name, ...args];
  const output = options.piped ? 'pipe' : 2;
  const env = { ...process.env, LC_ALL: 'C' };
  const child = spawn(command, rest, { cwd: options.cwd, stdio: ['ignore', output, output], env });
  let complaints = '';
  child.stderr?.on('data', (chunk: Buffer) => (complaints = (complaints + chunk).slice(-1000)));
  const ended = new Promise<void>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      const reason = complaints.trim() || 'see above for the reason';
      if (code === 0) resolve();
      else reject(new ImageError(`${name} ${args.at(-1)} ended with ${code ?? signal}: ${reason}.`));
    });
  });
  ended.catch(() => {});
  return { child, ended };
}

/** A package's control fields, as `apt-cache show` prints them. */
export type Control = Record<string, string>;

/** Where packages come from. */
export interface Source {
  uri: string;
  suite: string;
  component: string;
  /** whose packages they are, as the archive says: `Debian` */
  origin: string;
}

export class Apt {
  readonly folder: string;
  readonly #options: string[];

  constructor(folder: string) {
    if (!which('apt-get') || !which('dpkg-deb')) {
      throw new ImageError(`there is no apt here to fetch the guest image with: ${WITHOUT}.`);
    }
    this.folder = folder;
    for (const name of ['state/lists/partial', 'cache/archives/partial', 'debs']) {
      mkdirSync(join(folder, name), { recursive: true });
    }
    writeFileSync(join(folder, 'status'), '');
    const settings = {
      'Dir::State': join(folder, 'state'),
      'Dir::State::status': join(folder, 'status'),
      'Dir::Cache': join(folder, 'cache'),
      'APT::Architecture': 'amd64',
      'APT::Sandbox::User': 'root', // only root changes users, and that user could not write here
      'Acquire::Languages': 'none',
      'Acquire::Retries': '3',
      'APT::Install-Recommends': 'false',
      'APT::Install-Suggests': 'false',
    };
    this.#options = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  }

  async #get(...args: string[]): Promise<void> {
    const { ended } = start('apt-get', ['-q', ...this.#options, ...args], { cwd: join(this.folder, 'debs') });
    await ended.catch(() => {
      throw new ImageError(
        `apt-get ${args.find((arg) => !arg.startsWith('-'))} failed, see above: check network, package sources and disk, then start again; or ${WITHOUT}.`,
      );
    });
  }

  /** Fetches the package lists, unless they are of today. */
  async update(): Promise<void> {
    const stamp = join(this.folder, 'updated');
    if (existsSync(stamp) && Date.now() - statSync(stamp).mtimeMs < LISTS_LAST_MS) return;
    await this.#get('update', '--error-on=any');
    writeFileSync(stamp, '');
  }

  async #read(name: string, ...args: string[]): Promise<string> {
    const { child, ended } = start(name, [...this.#options, ...args], { piped: true });
    const output = await text(child.stdout as Readable);
    await ended;
    return output;
  }

  /** The packages that no system is without: Debian's own mark, and priority `required`. */
  async required(): Promise<string[]> {
    const stanzas = (await this.#read('apt-cache', 'dumpavail')).split('\n\n');
    const marked = stanzas.filter((each) => /^Essential: yes$|^Priority: required$/m.test(each));
    return [...new Set(marked.map((each) => /^Package: (.*)$/m.exec(each)![1]!))].sort();
  }

  async sources(): Promise<Source[]> {
    const format = '$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)';
    const lines = (await this.#read('apt-get', 'indextargets', '--format', format, 'Created-By: Packages')).split('\n');
    return lines.filter(Boolean).map((line) => {
      const [uri = '', suite = '', component = '', ...origin] = line.split(' ');
      return { uri, suite, component, origin: origin.join(' ') };
    });
  }

  /** Downloads packages and all that they depend on, and gives the files in the order in which apt would install them. apt checks the hashes, and goes
   * on with what a broken-off download has left. */
  async fetch(names: readonly string[]): Promise<string[]> {
    const plan = await this.#read('apt-get', '-s', '-y', 'install', ...names).catch((error: Error) => {
      throw new ImageError(`these packages cannot be installed together: ${error.message}`);
    });
    await this.#get('-y', '--download-only', 'install', ...names);
    return [...plan.matchAll(/^Inst (\S+) \((\S+) .*\[(\S+)\]\)/gm)].map(([, name, version, architecture]) => {
      const file = `${name!.replace(/:.*/, '')}_${version!.replaceAll(':', '%3a')}_${architecture}.deb`;
      const path = join(this.folder, 'cache', 'archives', file);
      if (!existsSync(path)) throw new ImageError(`apt-get did not leave ${file}.`);
      return path;
    });
  }

  /** The control fields of the version that would be installed. */
  async show(name: string): Promise<Control> {
    const output = await this.#read('apt-cache', 'show', '--no-all-versions', name).catch(() => {
      throw new ImageError(`this system's package sources have no ${name}: the guest image needs Debian's for amd64.`);
    });
    const fields = output.split('\n').map((line) => /^([A-Za-z0-9-]+): (.*)$/.exec(line));
    return Object.fromEntries(fields.filter((field) => field !== null).map(([, key, value]) => [key, value]));
  }

  /** Downloads a package, going on where a broken-off download stopped, and gives the file. apt checks its hash. */
  async download(control: Control): Promise<string> {
    await this.#get('download', `${control.Package}=${control.Version}`);
    // apt writes the epoch's colon as %3a.
    const name = `${control.Package}_${control.Version.replaceAll(':', '%3a')}_${control.Architecture}.deb`;
    const file = join(this.folder, 'debs', name);
    if (!existsSync(file)) throw new ImageError(`apt-get did not leave ${name}.`);
    return file;
  }
}
