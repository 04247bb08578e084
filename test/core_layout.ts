// Where the core keeps the fields of its structures, read from the sources: for tests of whoever reads them from outside.
import { readFileSync } from 'node:fs';

const SIZE: Record<string, number> = { u8: 1, u16: 2, u32: 4, i32: 4, u64: 8, i64: 8, Mfn: 4 };

const source = (file: string): string => readFileSync(new URL(`../core/${file}`, import.meta.url), 'utf8');

/** Field offsets of an unmanaged AssemblyScript class, by the natural alignment that asc gives them. */
export function layout(file: string, name: string): Record<string, number> {
  const text = source(file);
  const body = text.slice(text.indexOf(`export class ${name} {`)).split('\n}')[0]!;
  const offsets: Record<string, number> = {};
  let at = 0;
  for (const [, field, type] of body.matchAll(/^  (\w+): (\w+);/gm)) {
    const size = SIZE[type!];
    if (!size) throw new Error(`${field}: ${type}`);
    at = Math.ceil(at / size) * size;
    offsets[field!] = at;
    at += size;
  }
  return offsets;
}

/** The numbers that a file exports as constants of their own. */
export function numbers(file: string): Record<string, number> {
  return Object.fromEntries(
    [...source(file).matchAll(/^export const (\w+)(?:: \w+)? = (\d+);/gm)].map(([, name, value]) => [
      name!,
      Number(value),
    ]),
  );
}
