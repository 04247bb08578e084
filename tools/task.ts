// The tasks behind `npm test` and its like; `bin/task` has brought set-up up to date before.
import '../bin/parent.cjs';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createHash } from 'node:crypto';
import { existsSync, globSync } from 'node:fs';
import { join } from 'node:path';
import { BUILD_STAMP, ROOT, setup } from '../bin/setup.cjs';
import { need } from './apt.ts';
import { generate } from './build.ts';
import { format } from './format.ts';
import { lint } from './lint/index.ts';

type Result = boolean | Promise<boolean>;

const UNTRACKED = (name: string): boolean => name === 'node_modules' || name === 'build' || name === '.git';

const find = (pattern: string): string[] => globSync(pattern, { cwd: ROOT, exclude: UNTRACKED }).sort();

/** Runs the project's Node; every Node below it follows this process when it goes. */
async function node(args: string[]): Promise<boolean> {
  const watch = `--require=${JSON.stringify(join(ROOT, 'bin', 'parent.cjs'))}`;
  const env = { ...process.env, NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} ${watch}`.trim() };
  const [code] = await once(spawn(process.execPath, args, { cwd: ROOT, stdio: 'inherit', env }), 'exit');
  return code === 0;
}

const program = (path: string, ...args: string[]): Result => node([join(ROOT, 'node_modules', path), ...args]);

/** Node's test runner over the given files; its summary is the last thing printed. */
function runTests(files: string[]): Result {
  if (files.length === 0) {
    console.error('no test file matches');
    return false;
  }
  return node(['--test', '--test-concurrency=2', '--test-reporter=spec', ...files]);
}

const git = (...args: string[]): string => execFileSync('git', args, { cwd: ROOT, maxBuffer: 1 << 28 }).toString();

/** What differs from the last commit: `check` must leave it as it was. */
const differences = (): string =>
  createHash('sha256').update(git('status', '--porcelain')).update(git('diff', 'HEAD')).digest('hex');

async function check(): Promise<boolean> {
  const before = differences();
  const steps: [string, () => Result][] = [
    ['generate', () => generate().then(() => true)],
    ['format', () => format(false)],
    ['lint', lint],
    ['types', () => program('typescript/bin/tsc', '--pretty')],
    ['build', () => setup('build').then(() => true)],
    [
      'unit tests',
      () => runTests(find('{bin,cli,core,guests,platform,services,spec,toolstack,tools,web}/**/*.test.ts')),
    ],
    ['no difference left', () => differences() === before],
  ];
  const failed: string[] = [];
  for (const [name, step] of steps) {
    console.error(`check: ${name}`);
    if (!(await step())) failed.push(name);
  }
  console.error(failed.length === 0 ? 'check: all good' : `check: failed: ${failed.join(', ')}`);
  return failed.length === 0;
}

/** `bench NAME …`: the benchmark of that name, or the boot. */
function bench(args: string[]): Result {
  const [first, ...rest] = args;
  const named = first !== undefined && !first.startsWith('-');
  const file = `bench/${named ? first : 'boot'}.ts`;
  const files = find('bench/*.ts');
  if (files.includes(file)) return node([file, ...(named ? rest : args)]);
  const names = files.map((path) => path.slice('bench/'.length, -'.ts'.length)).join(', ');
  console.error(`there is no benchmark ${first}; there are ${names}`);
  return false;
}

function reportBuild(): boolean {
  console.error(existsSync(BUILD_STAMP) ? 'the build is up to date' : 'nothing to build: there is no core/index.ts');
  return true;
}

const TASKS: Record<string, (args: string[]) => Result> = {
  build: reportBuild,
  image: () => true,
  test: async (args) => {
    // Guests are built from C, the ABI is held against Xen's public headers, Debian's GRUB is one of the guests, and the store is read by Xen's
    // own clients, disk images by QEMU's tools.
    await need('gcc', 'libxen-dev', 'grub-xen-host', 'grub-common', 'xenstore-utils', 'qemu-utils', 'libnbd-bin');
    return runTests(args.length > 0 ? args : find('**/*.test.ts'));
  },
  'test:long': (args) => runTests(args.length > 0 ? args : find('**/*.long.ts')),
  check,
  format: () => format(true),
  bench,
};

const [name = '', ...args] = process.argv.slice(2);
if (!Object.hasOwn(TASKS, name)) {
  console.error(`no such task: ${name || '(none)'}; there are ${Object.keys(TASKS).join(', ')}`);
  process.exitCode = 64;
} else {
  process.exitCode = (await TASKS[name](args)) ? 0 : 1;
}
