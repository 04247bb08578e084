// The host's log: a line for what happens to it and its domains, with the time.
import { closeSync, openSync, renameSync, statSync, writeSync } from 'node:fs';

/** An older log of more than this makes place, under `.1`. */
const LARGE = 1 << 20;

export class HostLog {
  readonly #fd: number;
  readonly #echo: boolean;

  /** `echo`: on the terminal too. */
  constructor(path: string, echo: boolean) {
    this.#echo = echo;
    if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > LARGE) renameSync(path, `${path}.1`);
    this.#fd = openSync(path, 'a', 0o600);
  }

  write(text: string): void {
    // Names come from configurations: a line stays a line.
    const clean = text.replace(/[\x00-\x1f\x7f]/g, ' ');
    try {
      writeSync(this.#fd, `${new Date().toISOString()} ${clean}\n`);
    } catch {
      // A full disk must not end the host.
    }
    if (this.#echo) process.stderr.write(`xenolith: ${clean}\n`);
  }

  close(): void {
    closeSync(this.#fd);
  }
}
