// Ten million hypercalls of hostile guests; and proof that they find mistakes: cores with one planted in each do not get through.
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from '../../bin/setup.cjs';
import { loadCore, type CoreImage } from '../../platform/core.ts';
import { compile, FLAGS } from '../../tools/build.ts';
import { fuzzHost } from './host.ts';

const OUT = 'build/fuzz';

/** The core with one piece of its source replaced. */
async function planted(name: string, file: string, right: string, wrong: string): Promise<CoreImage> {
  const folder = join(ROOT, OUT, name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  cpSync(join(ROOT, 'core'), join(folder, 'core'), { recursive: true });
  const path = join(folder, 'core', file);
  const source = readFileSync(path, 'utf8');
  assert.equal(source.split(right).length, 2, `${file} has the place once: ${right}`);
  writeFileSync(path, source.replace(right, wrong));
  const output = `${OUT}/${name}/core.wasm`;
  const flags = FLAGS.map((flag) => (flag === '-O3' ? '-O1' : flag));
  await compile(`${OUT}/${name}/core/index.ts`, output, [...flags, '--exportTable']);
  return { ...loadCore(), module: new WebAssembly.Module(new Uint8Array(readFileSync(join(ROOT, output)))) };
}

const MISTAKES: [name: string, file: string, right: string, wrong: string, found: RegExp][] = [
  [
    'a use of a grant that ends keeps its hold on the frame',
    'hypervisor/grant_table.ts',
    '  if (clear) atomic.and<u16>(grant_status(rd, ref), <u16>~clear);\n  page_put(mfn);\n',
    '  if (clear) atomic.and<u16>(grant_status(rd, ref), <u16>~clear);\n',
    /has \d+ holds more than there are reasons for/,
  ],
  [
    'a grant for reading lets its user write',
    'hypervisor/grant_table.ts',
    '  return readonly || !(flags & GTF_readonly);\n',
    '  return true;\n',
    /the victim's memory at 0x[\da-f]+ has changed/,
  ],
  [
    'a port that another domain has closed still leads back',
    'hypervisor/event_channel.ts',
    '      r.state = <u8>EVTCHNSTAT_unbound;\n',
    '',
    /port \d+ does not fit its other end/,
  ],
  [
    'a page is replaced without a flush of what is known of it, and stays in its account',
    'hypervisor/p2m.ts',
    '  if (old) {\n    changed(d);\n    let_go(old);\n  }\n',
    '',
    /has \d+ holds more than there are reasons for/,
  ],
];

for (const [i, [name, file, right, wrong, found]] of MISTAKES.entries())
  test(`the fuzzer finds a planted mistake: ${name}`, async () => {
    const core = await planted(`mistake-${i}`, file, right, wrong);
    await assert.rejects(fuzzHost(4_000_000, 20_000, 1, core), found);
  });

test('ten million hypercalls', async (t) => {
  const fuzzed = await fuzzHost(10_000_000, 100_000, 1000);
  t.diagnostic(JSON.stringify(fuzzed));
  assert.ok(fuzzed.calls >= 10_000_000);
  assert.ok(fuzzed.finished > fuzzed.ended + fuzzed.slept, 'most fuzzers make all their calls');
});
