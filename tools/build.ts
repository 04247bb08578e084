// The build: generated code from `spec/`, then `core/` → `build/core.wasm`. Run through `npm run build`, which skips it
// when no source has changed; the content hash in `build/core.json` is written last, so a broken-off build is repeated.
import '../bin/parent.cjs';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { isMainThread, Worker } from 'node:worker_threads';
import { BUILD_STAMP, ROOT, sourcesHash } from '../bin/setup.cjs';
import { staticData } from './lint/wasm.ts';

/** The hypervisor and engine, and the translator that runs on a thread of its own. */
const MODULES = [
  { entry: 'core/index.ts', output: 'build/core.wasm', flags: ['--exportTable'] },
  { entry: 'core/translator/index.ts', output: 'build/translator.wasm', flags: [] },
];
export const FLAGS: readonly string[] = [
  ...['--runtime', 'stub', '--importMemory', '--sharedMemory', '--initialMemory', '1', '--maximumMemory', '65536'],
  ...['--enable', 'threads,simd,sign-extension,mutable-globals,nontrapping-f2i,bulk-memory', '-O3'],
  ...['--disableWarning', '201'], // a cast that 64-bit memory would need: memory is 32-bit here
  ...['--disableWarning', '112'], // functions with vectors in the table are called from Wasm only
];

/** Writes what is generated from `spec/`. */
export async function generate(): Promise<void> {
  const generator = join(ROOT, 'tools/generate.ts');
  if (!existsSync(generator)) return;
  const module: { generate(): void | Promise<void> } = await import(pathToFileURL(generator).href);
  await module.generate();
}

interface Sink {
  write(chunk: string | Uint8Array): void;
}
type Compiler = (args: string[], api: { stdout: Sink; stderr: Sink }) => Promise<{ error: Error | null }>;

/** Compiles an AssemblyScript entry point; both names are relative to the repository. Throws with asc's diagnostics. */
export async function compile(entry: string, output: string, flags: readonly string[] = FLAGS): Promise<void> {
  // The package's own types declare AssemblyScript's globals over Node's.
  const name: string = 'assemblyscript/asc';
  const { main }: { main: Compiler } = await import(name);
  let text = '';
  const sink: Sink = { write: (chunk) => void (text += chunk.toString()) };
  const args = [entry, '--outFile', output, '--baseDir', ROOT, ...flags];
  const { error } = await main(args, { stdout: sink, stderr: sink });
  if (error) throw new Error(`${entry} does not compile:\n${text || error.message}`);
  if (text) process.stderr.write(text);
}

export async function build(): Promise<void> {
  const sources = sourcesHash();
  await generate();
  mkdirSync(join(ROOT, 'build'), { recursive: true });
  const sizes: Record<string, number> = {};
  for (const { entry, output, flags } of MODULES) {
    const fresh = `${output}.new`;
    await compile(entry, fresh, [...FLAGS, ...flags]);
    const wasm = readFileSync(join(ROOT, fresh));
    const faults = staticData(wasm);
    if (faults.length > 0) throw new Error(`${output}: ${faults.join('; ')}`);
    renameSync(join(ROOT, fresh), join(ROOT, output));
    sizes[output] = wasm.length;
  }
  const generated = readdirSync(join(ROOT, 'core/gen')).map((name) => `core/gen/${name}`);
  const outputs = [...Object.keys(sizes), 'build/x86.tables', ...generated];
  writeFileSync(`${BUILD_STAMP}.new`, JSON.stringify({ sources, outputs, sizes }));
  renameSync(`${BUILD_STAMP}.new`, BUILD_STAMP);
}

// The compiler does not yield: in a worker of its own, this process still notices when its starter goes.
if (isMainThread && import.meta.main) {
  new Worker(new URL(import.meta.url)).on('error', (error: Error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
} else if (!isMainThread && import.meta.main) {
  await build();
}
