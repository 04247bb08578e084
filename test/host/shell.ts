// A Debian guest on a host, and the shell on its console.
import type { ChildProcess } from 'node:child_process';
import { guestImage } from '../../guests/image/index.ts';
import { type Bed, until } from './bed.ts';

export const LONG_MS = 120_000;

export class ShellGuest {
  readonly name: string;
  protected readonly bed: Bed;
  #console!: ChildProcess;
  #seen = '';
  #count = 0;

  constructor(bed: Bed, name: string) {
    this.bed = bed;
    this.name = name;
  }

  /** Its domain, from the configuration on; resolves at its prompt. `init`: what its RAM disk has that is run first. */
  async boot(ramdisk: string, init: string, lines: Record<string, string | number | string[]> = {}): Promise<void> {
    const { kernel } = guestImage();
    const config = this.bed.config(this.name, {
      ...{ type: 'pvh', kernel, ramdisk, memory: 160 },
      ...{ cmdline: `console=hvc0 quiet rdinit=${init}` },
      ...lines,
    });
    this.#console = this.bed.start('xl', ['create', '-qc', config]);
    this.#console.stdout!.on('data', (bytes: Buffer) => (this.#seen += bytes.toString('latin1')));
    this.#console.stderr!.on('data', (bytes: Buffer) => (this.#seen += bytes.toString('latin1')));
    await until(() => /reached[^]*# /.test(this.#seen), `${this.name} boots`, LONG_MS).catch((error: Error) => {
      throw new Error(`${error.message}: ${this.#seen.slice(-500)}`);
    });
    // Lines as they are: no echo, no editing, no prompt.
    this.#console.stdin!.write('stty -echo; PS1=; PS2=\n');
  }

  /** What a command prints. */
  async run(command: string, ms = LONG_MS): Promise<string> {
    const mark = `-end-${this.#count++}-`;
    this.#seen = '';
    this.#console.stdin!.write(`${command}; echo "-e"nd-${this.#count - 1}- $?\n`);
    await until(() => this.#seen.includes(`${mark} `), command, ms).catch((error: Error) => {
      throw new Error(`${error.message}: ${this.#seen.slice(-500)}`);
    });
    const text = this.#seen.replaceAll('\r', '').replaceAll('\x1b[6n', '');
    return text.slice(0, text.indexOf(mark)).trim();
  }

  close(): void {
    this.#console.kill();
  }
}
