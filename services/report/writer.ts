// Text for a file descriptor, gathered and written at once: in order, complete even if the process exits right after,
// and no faster than its reader takes it. Node's own streams keep what a slow reader has not taken in memory, and lose it
// at an exit.
import { writeSync } from 'node:fs';

const GATHERED = 1 << 16;
const RETRY_MS = 2;

export class Writer {
  readonly #fd: number;
  #text = '';
  /** The reader has gone. */
  #closed = false;

  constructor(fd: number) {
    this.#fd = fd;
  }

  write(text: string): void {
    this.#text += text;
    if (this.#text.length >= GATHERED) this.flush();
  }

  flush(): void {
    let rest: Uint8Array = Buffer.from(this.#text);
    this.#text = '';
    while (rest.length > 0 && !this.#closed) rest = rest.subarray(this.#some(rest));
  }

  #some(bytes: Uint8Array): number {
    try {
      return writeSync(this.#fd, bytes);
    } catch (error) {
      // A pipe that somebody has made non-blocking is full.
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') Atomics.wait(PAUSE, 0, 0, RETRY_MS);
      else this.#closed = true;
      return 0;
    }
  }
}

const PAUSE = new Int32Array(new SharedArrayBuffer(4));
