/**
 * A Debian system's files before anything is configured, as one archive: what `dpkg --unpack` of all packages would leave, its database too. Unpacking
 * packages here instead of in the guest saves it the decompression, which is most of an installation's work.
 */
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { ImageError, start } from '../apt.ts';
import { tarEnd, tarRecord, untar, type TarEntry } from '../tar.ts';
import { excluder } from './packages.ts';

const NOTHING = new Uint8Array(0);
const INFO = 'var/lib/dpkg/info';
/** Folders that are links into /usr on a merged system; packages of Debian 12 still have them. */
const MERGED = ['bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32'];
const all = (): boolean => true;

type Attributes = Partial<Pick<TarEntry, 'mode' | 'type' | 'target'>>;

export const entry = (path: string, content: string | Uint8Array = NOTHING, attributes: Attributes = {}): TarEntry => ({
  ...{ path, type: '0', mode: 0o644, uid: 0, gid: 0, mtime: 0, target: '', device: [0, 0] },
  content: typeof content === 'string' ? Buffer.from(content) : content,
  ...attributes,
});
export const folder = (path: string, mode = 0o755): TarEntry => entry(path, NOTHING, { type: '5', mode });
const link = (path: string, target: string): TarEntry => entry(path, NOTHING, { type: '2', mode: 0o777, target });

async function entriesOf(deb: string, part: 'ctrl' | 'fsys', each: (entry: TarEntry) => Promise<void> | void) {
  const { child, ended } = start('dpkg-deb', [`--${part}-tarfile`, deb], { piped: true });
  for await (const one of untar(child.stdout as Readable, all)) await each(one);
  await ended;
}

/** Where a package's path lies on a merged system. */
const merged = (path: string): string => (MERGED.includes(path.split('/')[0]!) ? `usr/${path}` : path);

/** An archive that is being written. */
class Archive {
  readonly #out;
  #folders = new Set<string>();

  constructor(path: string) {
    this.#out = createWriteStream(path, { highWaterMark: 4 << 20 });
    this.#out.on('error', () => {}); // told by `finished`
  }

  async add(one: TarEntry): Promise<void> {
    if (one.type === '5') {
      const name = one.path.replace(/\/$/, '');
      if (name === '' || this.#folders.has(name)) return;
      this.#folders.add(name);
    }
    for (const part of tarRecord(one)) await this.#write(part);
  }

  async #write(bytes: Uint8Array): Promise<void> {
    if (!this.#out.write(bytes)) await once(this.#out, 'drain');
  }

  async finished(): Promise<void> {
    this.#out.end(tarEnd());
    await once(this.#out, 'close');
    if (this.#out.errored) throw this.#out.errored;
  }
}

interface Package {
  /** as dpkg's files of it are called */
  id: string;
  name: string;
  stanza: string;
  hasPreinst: boolean;
  triggers: string;
}

export interface RootOptions {
  /** dpkg's path filters */
  filters: readonly string[];
  /** packages that somebody asked for: the others go when nobody needs them any more */
  wanted: readonly string[];
  /** files of ours */
  files: readonly TarEntry[];
  onPackage?: (done: number, name: string) => void;
  signal?: AbortSignal | undefined;
}

/** Writes the archive. */
export async function writeRoot(path: string, debs: readonly string[], options: RootOptions): Promise<void> {
  const archive = new Archive(path);
  const excluded = excluder(options.filters);
  const packages: Package[] = [];
  for (const one of ['usr', ...MERGED.map((name) => `usr/${name}`)]) await archive.add(folder(one));
  for (const name of MERGED) await archive.add(link(name, `usr/${name}`));
  for (const one of ['var', 'var/lib', 'var/lib/dpkg', INFO, 'var/lib/dpkg/updates', 'var/lib/dpkg/triggers'])
    await archive.add(folder(one));
  for (const deb of debs) {
    options.signal?.throwIfAborted();
    const one = await addPackage(archive, deb, excluded);
    packages.push(one);
    options.onPackage?.(packages.length, one.name);
  }
  for (const one of database(packages, new Set(options.wanted))) await archive.add(one);
  for (const one of options.files) await archive.add(one);
  await archive.finished();
}

async function addPackage(archive: Archive, deb: string, excluded: (path: string) => boolean): Promise<Package> {
  const control = new Map<string, TarEntry>();
  await entriesOf(deb, 'ctrl', (one) => void (one.type === '0' && control.set(one.path, one)));
  const text = (name: string): string => Buffer.from(control.get(name)?.content ?? NOTHING).toString();
  const stanza = text('control').trimEnd();
  const field = (name: string): string | undefined => new RegExp(`^${name}: (.*)$`, 'm').exec(stanza)?.[1];
  const name = field('Package');
  if (name === undefined) throw new ImageError(`${deb} is no Debian package.`);
  const id = field('Multi-Arch') === 'same' ? `${name}:${field('Architecture')}` : name;

  const conffiles = new Map(text('conffiles').split('\n').filter(Boolean).map((path) => [path, ''])); // prettier-ignore
  const listed: string[] = [];
  await entriesOf(deb, 'fsys', async (one) => {
    const path = `/${one.path.replace(/\/$/, '')}`;
    listed.push(path === '/' ? '/.' : path);
    if (conffiles.has(path)) conffiles.set(path, createHash('md5').update(one.content).digest('hex'));
    if (one.type !== '5' && excluded(path)) return;
    const at = merged(one.path);
    // The links stand already.
    if (one.type === '5' && MERGED.includes(one.path.replace(/\/$/, ''))) return;
    await archive.add({ ...one, path: at, target: one.type === '1' ? merged(one.target.replace(/^\.\//, '')) : one.target }); // prettier-ignore
  });
  await archive.add(entry(`${INFO}/${id}.list`, `${listed.join('\n')}\n`));
  for (const [file, { content, mode }] of control)
    if (file !== 'control') await archive.add(entry(`${INFO}/${id}.${file}`, content, { mode }));

  const hashes = [...conffiles].filter(([path]) => !path.startsWith('remove-on-upgrade '));
  const kept =
    hashes.length === 0 ? '' : `\nConffiles:\n${hashes.map(([path, hash]) => ` ${path} ${hash}`).join('\n')}`;
  const status = stanza.replace(/^Package: .*$/m, `$&\nStatus: install ok unpacked`);
  return { id, name, stanza: status + kept, hasPreinst: control.has('preinst'), triggers: text('triggers') };
}

/** dpkg's database (deb-triggers(5), and what dpkg itself leaves): all packages unpacked, none configured. */
function database(packages: readonly Package[], wanted: ReadonlySet<string>): TarEntry[] {
  const files: string[] = [];
  const named = new Map<string, string[]>();
  for (const { id, triggers } of packages)
    for (const line of triggers.split('\n')) {
      const [directive = '', trigger] = line.replace(/#.*/, '').trim().split(/\s+/);
      const [, , noawait] = /^interest(-(noawait|await))?$/.exec(directive) ?? [];
      if (!directive.startsWith('interest') || trigger === undefined) continue;
      const who = noawait === 'noawait' ? `${id}/noawait` : id;
      if (trigger.startsWith('/')) files.push(`${trigger} ${who}`);
      else named.set(trigger, [...(named.get(trigger) ?? []), who]);
    }
  const lines = (all: readonly string[]): string => all.map((line) => `${line}\n`).join('');
  const automatic = packages.filter(({ name }) => !wanted.has(name));
  const states = automatic.map(({ name }) => `Package: ${name}\nArchitecture: amd64\nAuto-Installed: 1\n\n`).join('');
  return [
    entry('var/lib/dpkg/status', packages.map(({ stanza }) => `${stanza}\n\n`).join('')),
    ...['available', 'diversions', 'statoverride'].map((name) => entry(`var/lib/dpkg/${name}`)),
    entry(`${INFO}/format`, '1\n'),
    entry('var/lib/dpkg/triggers/File', lines(files)),
    ...[...named].map(([trigger, who]) => entry(`var/lib/dpkg/triggers/${trigger}`, lines(who))),
    entry('var/lib/dpkg/triggers/Unincorp'),
    entry('var/lib/apt/extended_states', states),
    entry('install/preinst', lines(packages.filter(({ hasPreinst }) => hasPreinst).map(({ id }) => id))),
  ];
}
