// A Debian guest with interfaces, and its shell.
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { NET_INIT, netInitrd } from '../../guests/net/build.ts';
import { guestImage } from '../../guests/image/index.ts';
import { type Bed, until } from '../host/bed.ts';

const LONG_MS = 120_000;

export class NetGuest {
  readonly name: string;
  readonly #bed: Bed;
  #console!: ChildProcess;
  #seen = '';
  #count = 0;

  constructor(bed: Bed, name: string) {
    this.#bed = bed;
    this.name = name;
  }

  /** Its domain, from the configuration on; resolves at its prompt. */
  async start(vif: string[], lines: Record<string, string | number | string[]> = {}): Promise<void> {
    const { kernel } = guestImage();
    const config = this.#bed.config(this.name, {
      ...{ type: 'pvh', kernel, ramdisk: await netInitrd(), memory: 160, vif },
      ...{ cmdline: `console=hvc0 quiet rdinit=${NET_INIT}` },
      ...lines,
    });
    this.#console = this.#bed.start('xl', ['create', '-qc', config]);
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

  /** Starts a command that goes on; `finished` waits for it and gives what it has printed. Its parent is not the shell, which takes the end of a child of
   * its own for the end of its input. */
  async background(command: string): Promise<void> {
    await this.run(`( (${command} >/run/out 2>&1; : >/run/done) </dev/null & )`);
  }

  finished(ms = LONG_MS): Promise<string> {
    return this.run('while [ ! -e /run/done ]; do sleep 0.1; done; rm /run/done; cat /run/out', ms);
  }

  /** An address of an interface by DHCP. */
  async up(device = 'eth0'): Promise<string> {
    const said = await this.run(`net ${device}`);
    const address = /dhcp: (\S+) by/.exec(said)?.[1];
    assert.ok(address, said);
    return address;
  }

  close(): void {
    this.#console.kill();
  }
}
