// A whole Debian on a disk of its own, as a person has it: its console, logged in.
import type { ChildProcess } from 'node:child_process';
import { until, type Bed } from '../host/bed.ts';

/** A boot takes a quarter of it on an idle machine. */
const BOOT_MS = 300_000;
const LONG_MS = 180_000;
/** Where the kernel and systemd have come to, for who looks at a test that failed. */
const TAIL = 1500;

export class DebianGuest {
  readonly name: string;
  readonly #bed: Bed;
  #console: ChildProcess | undefined;
  #seen = '';
  #count = 0;

  constructor(bed: Bed, name: string) {
    this.#bed = bed;
    this.name = name;
  }

  /** Resolves at `login:`. */
  async start(disk: string, lines: Record<string, string | number | string[]> = {}): Promise<void> {
    const config = this.#bed.config(this.name, {
      ...{ type: 'pvh', kernel: '', bootloader: 'pygrub', memory: 384, disk: [`${disk},qcow2,xvda,w`] },
      ...lines,
    });
    this.#follow('create', '-qc', config);
    await this.atLogin();
  }

  /** Its console from now on. */
  #follow(...args: string[]): void {
    this.#console?.kill();
    const console = (this.#console = this.#bed.start('xl', args));
    this.#seen = '';
    for (const stream of [console.stdout!, console.stderr!])
      stream.on('data', (bytes: Buffer) => (this.#seen += bytes.toString('latin1')));
  }

  async waits(pattern: RegExp, what: string, ms: number): Promise<void> {
    await until(() => pattern.test(this.#seen), `${this.name}: ${what}`, ms).catch((error: Error) => {
      throw new Error(`${error.message}: ${this.#seen.slice(-TAIL)}`);
    });
  }

  atLogin(): Promise<void> {
    return this.waits(/ login: /, 'the login prompt', BOOT_MS);
  }

  /** After a reboot the domain is another one: waits for its number to change, and for its prompt. */
  async again(domid: number): Promise<void> {
    await until(
      async () => Number((await this.#bed.xl('domid', this.name)).out) > domid,
      `${this.name} reboots`,
      LONG_MS,
    );
    this.#follow('console', this.name);
    await this.atLogin();
  }

  get domid(): Promise<number> {
    return this.#bed.ok('domid', this.name).then(Number);
  }

  type(text: string): void {
    this.#console!.stdin!.write(text);
  }

  /** Logs in as root, who has no password; lines are as they are from then on: no echo, no editing, no prompt. */
  async login(): Promise<void> {
    this.type('root\n');
    await this.waits(/root@\w+:~# /, 'the shell', LONG_MS);
    this.type('exec sh\n');
    await this.waits(/\n[^\n]*# $/, 'a plain shell', LONG_MS);
    this.type(
      "stty -echo cols 200; PS1=''; PS2=''; export SYSTEMD_PAGER=cat SYSTEMD_COLORS=0; dmesg -n 1; echo rea''dy\n",
    );
    await this.waits(/ready\r?\n/, 'no echo', LONG_MS);
  }

  /** What a command prints. */
  async run(command: string, ms = LONG_MS): Promise<string> {
    const mark = `-end-${this.#count++}-`;
    this.#seen = '';
    this.type(`${command}; echo "-e"nd-${this.#count - 1}- $?\n`);
    await this.waits(new RegExp(`${mark} \\d`), command, ms);
    const text = this.#seen.replaceAll('\r', '');
    return text.slice(0, text.indexOf(mark)).trim();
  }

  /** Its IPv4 address, once it has one. */
  async address(): Promise<string> {
    const shown = "ip -4 -o address show scope global | sed -n 's|.* inet \\([0-9.]*\\)/.*|\\1|p'";
    return this.run(`until ${shown} | grep -q .; do sleep 0.5; done; ${shown}`);
  }

  close(): void {
    this.#console?.kill();
  }
}
