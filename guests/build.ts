/** Builds our own guests from source with the system's gcc, once per content. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join, parse } from 'node:path';

const HERE = import.meta.dirname;
/** Where what is compiled lies. */
export const OUT = join(HERE, '..', 'build', 'guests');
const LIB = join(HERE, 'lib');
/** What guests that are front ends share, and who they are. */
const FRONT = join(HERE, 'front');
const FRONTS = ['blk', 'netif'];
const FLAGS = [
  ...['-O2', '-g0', '-std=gnu11', '-Wall', '-Wextra', '-Werror', '-ffreestanding', '-fno-pic', '-fno-pie', '-no-pie'],
  ...[
    '-fno-stack-protector',
    '-fno-asynchronous-unwind-tables',
    '-fcf-protection=none',
    '-mno-red-zone',
    '-mgeneral-regs-only',
  ],
  ...['-nostdlib', '-static', '-Wl,--build-id=none', '-Wl,-z,max-page-size=4096', '-Wl,--no-warn-rwx-segments'],
];

/** Files of a folder, in order. */
export const sourcesOf = (folder: string, accept: RegExp): string[] =>
  readdirSync(folder)
    .filter((file) => accept.test(file))
    .sort()
    .map((file) => join(folder, file));

/** The guests' names: `unikernel`, `tick`; `blk` and `netif`, which are front ends; `pv` and `pv32`, which are; `fuzz`, and the same in 32-bit code; and `asm/NAME` for each file of `guests/asm`. */
export function guestNames(): string[] {
  const assembly = sourcesOf(join(HERE, 'asm'), /\.S$/).map(
    (file) => `asm/${file.slice(join(HERE, 'asm').length + 1, -2)}`,
  );
  return ['unikernel', 'tick', ...FRONTS, 'fuzz', 'fuzz32', 'pv', 'pv32', ...assembly];
}

/** The path of a compiled file that is made when missing: `name` with a hash of the options and of the sources' contents. */
export function compiled(
  name: string,
  options: readonly string[],
  units: readonly string[],
  others: readonly string[],
): string {
  const hash = createHash('sha256').update(options.join(' '));
  for (const file of [...units, ...others]) hash.update(`\0${file.slice(HERE.length)}\0`).update(readFileSync(file));
  const { dir, name: base, ext } = parse(join(OUT, name));
  const out = join(dir, `${base}-${hash.digest('hex').slice(0, 16)}${ext}`);
  if (existsSync(out)) return out;

  mkdirSync(dir, { recursive: true });
  const partial = `${out}.${process.pid}.tmp`;
  const gcc = spawnSync('gcc', [...options, '-o', partial, ...units], { encoding: 'utf8' });
  if (gcc.error)
    throw new Error(
      `gcc cannot be started (${gcc.error.message}); install it, on Debian with: apt install gcc libc6-dev`,
    );
  if (gcc.status !== 0) {
    rmSync(partial, { force: true });
    throw new Error(`gcc failed on the guest ${name}:\n${gcc.stderr}`);
  }
  renameSync(partial, out);
  return out;
}

/** Compiles a guest unless it is cached; returns the path of the ELF image. `defines` are preprocessor symbols. */
export function buildGuest(name: string, defines: readonly string[] = []): string {
  if (!guestNames().includes(name))
    throw new Error(`there is no guest ${name}; there are: ${guestNames().join(', ')}.`);
  const narrow = name.endsWith('32');
  const own = existsSync(join(HERE, name));
  const folder = name.startsWith('asm/') ? join(HERE, 'asm') : join(HERE, narrow && !own ? name.slice(0, -2) : name);
  const shared = FRONTS.includes(name) ? [FRONT] : [];
  const units = name.startsWith('asm/') ? [join(HERE, `${name}.S`)] : [...shared, folder].flatMap((dir) => sourcesOf(dir, /\.[cS]$/)); // prettier-ignore
  const headers = [LIB, ...shared, folder].flatMap((dir) => sourcesOf(dir, /\.(h|inc|lds)$/));
  // The fuzzing guest lies where what it does to memory seldom leads.
  const base = folder.endsWith('fuzz') ? ['-Wl,--defsym=guest_base=0x800000'] : [];
  const options = [
    narrow ? '-m32' : '-m64',
    ...FLAGS,
    ...base,
    ...defines.map((define) => `-D${define}`),
    `-I${LIB}`,
    ...[...shared, folder].map((dir) => `-I${dir}`),
  ];
  return compiled(`${name}.elf`, [...options, '-T', join(LIB, 'guest.lds')], units, headers);
}
