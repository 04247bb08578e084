// Ten million operations of hostile PV guests; and proof that they find mistakes: hypervisors with one planted in each do not get through.
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from '../../bin/setup.cjs';
import { compileEntry, Machine } from '../hypervisor.ts';
import { PvFuzz } from './pv.ts';

const OPERATIONS = 10_000_000;
/** Each run is a host of its own. */
const RUNS = 20;
/** So many operations find each mistake. */
const ENOUGH = 2_000_000;

test(`${OPERATIONS} operations of hostile PV guests`, () => {
  for (let seed = 1; seed <= RUNS; seed++) {
    const fuzz = new PvFuzz(seed);
    assert.equal(fuzz.run(OPERATIONS / RUNS, 250).broken, null, `seed ${seed}`);
    assert.equal(fuzz.end(), null, `seed ${seed}`);
  }
});

const MISTAKES: [name: string, file: string, right: string, wrong: string, found: RegExp][] = [
  [
    'an entry may be made writable without a look at what it maps',
    'entries.ts',
    'export const PTE_FREE: u64 = PTE_NX |',
    'export const PTE_FREE: u64 = PTE_RW | PTE_NX |',
    /page table \d+ has a wrong entry|more than there are reasons for/,
  ],
  [
    'a page that is mapped writable can become a page table',
    'page_type.ts',
    '  if (f.pt_type != PGT_none) return -EINVAL;\n',
    '  if (f.pt_type != PGT_none && f.pt_type != PGT_writable) return -EINVAL;\n',
    /wrong entry|used as writable memory|its type|reasons for/,
  ],
  [
    "frames of others' can be mapped",
    'entries.ts',
    ' || f.owner != pg.domid) return -EBUSY;\n  if (e & PTE_RW)',
    ') return -EBUSY;\n  if (e & PTE_RW)',
    /maps by entry \d+ a frame that nobody has granted/,
  ],
  [
    'a table that gives way while it is taken apart takes the same entry again',
    'page_type.ts',
    '    const rc = entry_put(mfn, level, e);\n    if (rc) return rc;\n',
    '    const rc = entry_put(mfn, level, e);\n    if (rc) {\n      f.partial = <u16>(i + 1);\n      return rc;\n    }\n',
    /reasons for|wrong entry|its type/,
  ],
  [
    'a page of descriptors is not looked at',
    'page_type.ts',
    '    if (!descriptors_check(d, mfn_to_ptr(mfn))) {\n',
    '    if (mfn == 0) {\n',
    /descriptor page \d+ has a descriptor/,
  ],
  [
    'a store to a page table keeps the references of what was there',
    'ptwr.ts',
    '  if (!same) leaf_put(d.domid, now);\n',
    '',
    /reasons for/,
  ],
  [
    'a linear entry may be writable',
    'entries.ts',
    '  if (e & PTE_RW) return false;\n  if (n == <u64>table) return true;',
    '  if (n == <u64>table) return true;',
    /wrong entry/,
  ],
  [
    'a grant for reading is mapped to be written',
    'grant_pte.ts',
    '  if (!(flags & GNTMAP_readonly)) {\n',
    '  {\n',
    /nobody has granted|reasons for/,
  ],
  [
    'a page that was granted for reading and is a table now is copied into',
    '../grant_copy.ts',
    '    if (!write || type_open(frame(end_mfn))) return GNTST_okay;\n',
    '    if (end_mfn) return GNTST_okay;\n',
    /wrong entry|reasons for|nobody has granted/,
  ],
  [
    "the last entry of a 32-bit guest's root can be changed",
    'update.ts',
    'if (slot_reserved(type, i) || slot_needed(type, i)) return',
    'if (slot_reserved(type, i)) return',
    /wrong entry|reasons for|its type/,
  ],
  [
    "a 32-bit guest's L2 tables with and without the hypervisor's slots are taken for one another",
    'page_type.ts',
    '  if (f.pt_type == type && f.pt_flags & PGT_validated) {\n',
    '  if ((f.pt_type & 7) == (type & 7) && f.pt_flags & PGT_validated) {\n',
    /wrong entry|its type|reasons for/,
  ],
  [
    "what is the hypervisor's in a 32-bit guest's tables is not emptied",
    'page_type.ts',
    '      if (type != PGT_l4) atomic.store<u64>(p, 0);\n',
    '',
    /wrong entry/,
  ],
];

for (const [i, [name, file, right, wrong, found]] of MISTAKES.entries())
  test(`the fuzzer finds a planted mistake: ${name}`, () => {
    const folder = join(ROOT, `build/fuzz/pv-${i}`);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    cpSync(join(ROOT, 'core'), join(folder, 'core'), { recursive: true });
    const path = join(folder, 'core/hypervisor/pv', file);
    const source = readFileSync(path, 'utf8');
    assert.equal(source.split(right).length, 2, `${file} has the place once: ${right}`);
    writeFileSync(path, source.replace(right, wrong));
    const output = join(folder, 'hypervisor.wasm');
    compileEntry(join(folder, 'core/hypervisor/test_entry.ts'), output);
    const image = new WebAssembly.Module(new Uint8Array(readFileSync(output)));
    let what: string | null = null;
    for (let seed = 1; seed <= 8 && what === null; seed++) {
      const fuzz = new PvFuzz(seed, new Machine(2048, 0, image));
      what = fuzz.run(ENOUGH / 8, 100).broken ?? fuzz.end();
    }
    assert.match(what ?? 'nothing', found);
  });
