/** Archives on disk, a file an object: written now and then and at the end, read when somebody wants one. */
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Rrd } from './rrd.ts';

/** A file of another form, or a damaged one, is no archive. */
const VERSION = 1;
const UUID = /^[0-9a-f-]{36}$/;

export class KeptRrds {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  }

  #path(owner: string, uuid: string): string | undefined {
    return UUID.test(uuid) ? join(this.#folder, `${owner}-${uuid}.json`) : undefined;
  }

  read(owner: string, uuid: string): Rrd | undefined {
    const path = this.#path(owner, uuid);
    if (path === undefined) return undefined;
    try {
      const { version, rrd } = JSON.parse(readFileSync(path, 'utf8')) as {
        version: number;
        rrd: ReturnType<Rrd['kept']>;
      };
      return version === VERSION ? Rrd.from(rrd) : undefined;
    } catch {
      return undefined;
    }
  }

  async write(owner: string, uuid: string, rrd: Rrd): Promise<void> {
    const path = this.#path(owner, uuid);
    if (path === undefined) return;
    await writeFile(`${path}.new`, JSON.stringify({ version: VERSION, rrd: rrd.kept() }), { mode: 0o600 });
    await rename(`${path}.new`, path);
  }

  remove(owner: string, uuid: string): void {
    const path = this.#path(owner, uuid);
    if (path !== undefined) rmSync(path, { force: true });
  }
}
