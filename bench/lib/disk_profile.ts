// Where the guest's time goes while each kind of access is measured: what guests/disk/io.c says of its beginnings divides the samples.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { modules } from '../../guests/disk/build.ts';
import type { Machine } from '../../platform/machine.ts';
import { LogReader } from '../../services/report/log_reader.ts';
import { folded, Profile, summary, type LoadedSymbols } from '../../services/report/profile.ts';
import { readSymbols } from '../../services/symbols/protocol/files.ts';

const DRAIN_MS = 10;

export class DiskProfile {
  readonly #log: LogReader;
  readonly #kernel: Uint8Array;
  readonly #out: string;
  readonly #hz: number;
  readonly #timer: NodeJS.Timeout;
  readonly #loaded: { name: string; base: bigint }[] = [];
  readonly #profiles = new Map<string, Profile>();
  #now = 'boot';
  #line = '';

  constructor(machine: Machine, kernel: Uint8Array, out: string, hz: number) {
    this.#log = new LogReader(machine);
    [this.#kernel, this.#out, this.#hz] = [kernel, out, hz];
    mkdirSync(out, { recursive: true });
    this.#timer = setInterval(() => this.#drain(), DRAIN_MS);
  }

  /** What the guest's console says. */
  heard(bytes: Uint8Array): void {
    this.#line += Buffer.from(bytes).toString('latin1');
    for (let end; (end = this.#line.indexOf('\n')) >= 0; this.#line = this.#line.slice(end + 1)) {
      const [, word, name, at] = /bench: (begin|text) (\S+) ?(0x\w+)?/.exec(this.#line.slice(0, end)) ?? [];
      if (word === 'text') this.#loaded.push({ name: name!, base: BigInt(at!) });
      if (word !== 'begin') continue;
      this.#drain();
      this.#now = name!;
    }
  }

  #drain(): void {
    let profile = this.#profiles.get(this.#now);
    if (!profile) this.#profiles.set(this.#now, (profile = new Profile()));
    for (const record of this.#log.read()) profile.add(record);
  }

  async end(): Promise<void> {
    clearInterval(this.#timer);
    this.#drain();
    const files = await modules(this.#loaded.map(({ name }) => name.replaceAll('_', '-')));
    const user: LoadedSymbols[] = this.#loaded.flatMap(({ name, base }) => {
      const table = readSymbols(files.get(name.replaceAll('_', '-'))!);
      return table ? [{ table, base }] : [];
    });
    const kernel = readSymbols(this.#kernel);
    for (const [name, profile] of this.#profiles) {
      const result = profile.result(kernel, user);
      writeFileSync(join(this.#out, `${name}.folded`), folded(result));
      process.stderr.write(`\n${name}: ${summary(result, this.#hz, 45)}`);
    }
  }
}
