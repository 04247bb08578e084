// Debian packages that a test needs on the machine (a C compiler, QEMU): installed when missing and when allowed to, else
// the test fails and names them. Running Xenolith needs none of this.
import '../bin/parent.cjs';
import { spawnSync } from 'node:child_process';
import { acquire } from '../bin/lock.cjs';

const installed = (name: string): boolean => {
  const { stdout } = spawnSync('dpkg-query', ['-W', '-f', '${Status}', name], { encoding: 'utf8' });
  return stdout === 'install ok installed';
};

/** Whether a program of that name is on the PATH, wherever it came from. */
const program = (name: string): boolean => spawnSync('sh', ['-c', 'command -v "$0"', name]).status === 0;

/** What stands in for a package: these programs, however they were installed. */
const PROGRAMS: Record<string, string[]> = {
  gcc: ['gcc'],
  gdb: ['gdb'],
  'qemu-system-x86': ['qemu-system-x86_64'],
  'xz-utils': ['xz'],
  binutils: ['ld', 'objcopy'],
};

const missing = (names: string[]): string[] =>
  names.filter((name) => !(PROGRAMS[name]?.every(program) ?? installed(name)));

function aptGet(...args: string[]): void {
  const prefix = process.getuid?.() === 0 ? [] : ['sudo', '-n'];
  const [command, ...rest] = [...prefix, 'apt-get', '-q', '-y', ...args];
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const { status, error } = spawnSync(command, rest, { stdio: ['ignore', 2, 2], env });
  if (error) throw error;
  if (status !== 0) throw new Error(`apt-get ${args[0]} ended with ${status}`);
}

/** Sees to it that the named Debian packages are there; throws one sentence with the missing ones if they cannot be. */
export async function need(...names: string[]): Promise<void> {
  if (missing(names).length === 0) return;
  const held = await acquire('apt'); // tests run side by side
  try {
    const absent = missing(names);
    if (absent.length === 0) return;
    try {
      aptGet('update');
      aptGet('install', '--no-install-recommends', ...absent);
    } catch (error) {
      throw new Error(`this test needs ${absent.join(', ')}: \`apt-get install ${absent.join(' ')}\` as root.`, {
        cause: error,
      });
    }
  } finally {
    held.release();
  }
}
