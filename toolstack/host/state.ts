// The host's folder: what it holds, and what is left of it when the host has been killed. Whoever changes it holds the folder's lock.
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { NetworkOptions } from '../../services/network/backend/messages.ts';
import type { DomainConfig } from '../config/domain.ts';

export const paths = (folder: string) => ({
  folder,
  control: join(folder, 'control.sock'),
  /** libxenstore looks for `socket` in $XENSTORED_RUNDIR. */
  xenstored: join(folder, 'xenstored'),
  xenstore: join(folder, 'xenstored', 'socket'),
  log: join(folder, 'host.log'),
  pid: join(folder, 'host.pid'),
  /** A file a domain, there as long as it is. */
  domains: join(folder, 'domains'),
  /** Configurations of domains that went with a host. */
  lost: join(folder, 'lost'),
  /** Networks that people have made, and forwarded ports. */
  networks: join(folder, 'networks.json'),
  /** Where crashed domains' cores go. */
  dump: join(folder, 'dump'),
});
export type Paths = ReturnType<typeof paths>;

/** A unix socket's address has this many bytes, with its final zero (sys/un.h). */
const SOCKET_PATH = process.platform === 'linux' ? 108 : 104;

export const tooLong = (folder: string): boolean => Buffer.byteLength(paths(folder).xenstore) >= SOCKET_PATH;

/** What is kept of a domain. */
export interface Kept {
  domid: number;
  config: DomainConfig;
  /** The file it came from, as it was. */
  source: string;
}

/** A network as it was asked for; `options` is null for the default one, which is there anyhow. */
export interface KeptNetwork {
  name: string;
  options: NetworkOptions | null;
  /** As people write them. */
  forwards: string[];
}

export class State {
  readonly paths: Paths;

  constructor(folder: string) {
    this.paths = paths(folder);
    for (const path of [folder, this.paths.xenstored, this.paths.domains, this.paths.lost, this.paths.dump])
      mkdirSync(path, { recursive: true, mode: 0o700 });
  }

  /**
   * Domains of a host that did not end properly. Their files make place for new ones, and their configurations are in
   * `lost` from now on, each under its name.
   */
  recover(): Kept[] {
    const lost: Kept[] = [];
    for (const file of readdirSync(this.paths.domains)) {
      const path = join(this.paths.domains, file);
      const kept = file.endsWith('.json') ? read(path) : undefined;
      if (kept) {
        write(join(this.paths.lost, `${fileName(kept.config.name)}.cfg`), kept.source);
        lost.push(kept);
      }
      rmSync(path, { force: true });
    }
    return lost.sort((a, b) => a.domid - b.domid);
  }

  keep(kept: Kept): void {
    write(this.#file(kept.domid), `${JSON.stringify(kept)}\n`);
  }

  forget(domid: number): void {
    rmSync(this.#file(domid), { force: true });
  }

  keepNetworks(networks: readonly KeptNetwork[]): void {
    write(this.paths.networks, `${JSON.stringify(networks, undefined, 2)}\n`);
  }

  /** None if the file is none; it is the host's own, and written as a whole. */
  networks(): KeptNetwork[] {
    try {
      return JSON.parse(readFileSync(this.paths.networks, 'utf8')) as KeptNetwork[];
    } catch {
      return [];
    }
  }

  writePid(): void {
    write(this.paths.pid, `${process.pid}\n`);
  }

  /** A proper end: nothing that a host needs stays. */
  close(): void {
    rmSync(this.paths.pid, { force: true });
  }

  #file(domid: number): string {
    return join(this.paths.domains, `${domid}.json`);
  }
}

/** A name may hold blanks and begin with a dot; a file's name had better not. */
export const fileName = (name: string): string => name.replace(/[^\w.+@-]/g, '_').replace(/^\./, '_');

/** Undefined for one that a crash of the machine left half written. */
function read(path: string): Kept | undefined {
  try {
    const kept = JSON.parse(readFileSync(path, 'utf8')) as Kept;
    return typeof kept.config.name === 'string' && typeof kept.source === 'string' ? kept : undefined;
  } catch {
    return undefined;
  }
}

/** Written aside and renamed: a reader sees the old or the new. */
function write(path: string, text: string): void {
  const fd = openSync(`${path}.new`, 'w', 0o600);
  try {
    writeSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(`${path}.new`, path);
}
