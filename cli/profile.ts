// `xenolith profile`: takes the samples in while the guest runs, and writes what they say when it has ended.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Machine } from '../platform/machine.ts';
import { flameGraph } from '../services/report/flame_graph.ts';
import { LogReader } from '../services/report/log_reader.ts';
import { folded, PARTS, Profile, summary, tiers, type LoadedSymbols } from '../services/report/profile.ts';
import { readSymbols } from '../services/symbols/protocol/files.ts';
import type { SymbolTable } from '../services/symbols/protocol/table.ts';
import { readInput, Unreadable } from '../toolstack/files.ts';
import { Unavailable } from './files.ts';
import { elfImage } from '../toolstack/kernel.ts';
import type { ProfileOptions, RunOptions } from './options.ts';

const DRAIN_MS = 10;

export class Profiler {
  readonly #options: ProfileOptions;
  readonly #kernel: string;
  readonly #symbols: LoadedSymbols[];
  readonly #profile = new Profile();
  #log: LogReader | null = null;
  #timer: NodeJS.Timeout | undefined;

  /** Throws Unreadable or Unavailable before the guest starts. */
  constructor(run: RunOptions, options: ProfileOptions) {
    this.#options = options;
    this.#kernel = run.kernel;
    this.#symbols = options.symbols.map(({ file, base }) => {
      const table = readSymbols(readInput('symbols', file));
      if (!table)
        throw new Unreadable(`${file} names no symbols; give an ELF file with a symbol table or a System.map.`);
      return { table, base };
    });
    try {
      mkdirSync(options.out, { recursive: true });
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw new Unavailable(`the folder ${options.out} cannot be made (${code}); give another --out.`);
    }
  }

  attach(machine: Machine): void {
    this.#log = new LogReader(machine);
    this.#timer = setInterval(() => this.#drain(), DRAIN_MS);
    this.#timer.unref();
    // A run that is broken off has a profile too.
    process.on('exit', this.#atExit);
  }

  #drain(): void {
    for (const record of this.#log?.read() ?? []) this.#profile.add(record);
  }

  readonly #atExit = (): void => this.end();

  /** The kernel's names: a file that was given and knows Linux's entry, else the kernel's own. */
  #kernelSymbols(): SymbolTable | undefined {
    const given = this.#symbols.find(({ table }) => table.address('entry_SYSCALL_64') !== undefined);
    return given?.table ?? readSymbols(elfImage(readInput('kernel', this.#kernel)));
  }

  end(): void {
    process.off('exit', this.#atExit);
    clearInterval(this.#timer);
    this.#drain();
    const { out, hz } = this.#options;
    const result = this.#profile.result(this.#kernelSymbols(), this.#symbols);
    const share = (part: number): string => `${((100 * part) / Math.max(1, result.total)).toFixed(1)} %`;
    const parts = PARTS.map((part) => `${part} ${share(result.parts[part])}`).join(', ');
    const busy = result.stacks.filter(({ frames }) => frames[0] !== 'idle');
    const subtitle = `${result.total} samples at ${hz} Hz: ${parts} (not drawn); guest code ${tiers(result)}`;
    writeFileSync(join(out, 'profile.folded'), folded(result));
    writeFileSync(join(out, 'profile.svg'), flameGraph('Where the time went', subtitle, busy));
    process.stderr.write(`\n${summary(result, hz)}\n  ${join(out, 'profile.svg')}, ${join(out, 'profile.folded')}\n`);
  }
}
