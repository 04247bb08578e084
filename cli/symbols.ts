// `xenolith symbols`: the names that a kernel carries, as a file for a debugger.
import { writeFileSync } from 'node:fs';
import { symbolFile } from '../services/symbols/protocol/elf_writer.ts';
import { readSymbols } from '../services/symbols/protocol/files.ts';
import { readInput, Unreadable } from '../toolstack/files.ts';
import { elfImage } from '../toolstack/kernel.ts';
import { EXIT } from './options.ts';

function fail(message: string, code: number): number {
  process.stderr.write(`xenolith: ${message}\n`);
  return code;
}

export function writeSymbols(kernel: string, out: string): number {
  try {
    const table = readSymbols(elfImage(readInput('kernel', kernel)));
    if (!table) return fail(`${kernel} carries no symbols that are understood.`, EXIT.badImage);
    writeFileSync(out, symbolFile(table));
    process.stdout.write(`${out}: ${table.length} symbols\n`);
    return 0;
  } catch (error) {
    if (error instanceof Unreadable) return fail(error.message, EXIT.badImage);
    return fail(`${out} cannot be written (${(error as NodeJS.ErrnoException).code}).`, EXIT.failed);
  }
}
