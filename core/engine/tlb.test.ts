// The TLB's sets against a model that remembers everything: what they give must be in it, whatever was forgotten in between; and what
// may be kept is.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join, normalize, relative } from 'node:path';
import { before, test } from 'node:test';

const ROOT = join(import.meta.dirname, '../..');
const STUBS: Record<string, string> = {
  'core/translator/regions.ts': `
    let space: u64 = 1;
    let globals: u64 = 2;
    let numbers: u64 = 2;
    let oldest: u64 = 1;
    export function regions_changed(): void { space = oldest = ++numbers; globals = ++numbers; }
    export function regions_space(): u64 { return space; }
    export function regions_globals(): u64 { return globals; }
    export function regions_enter(known: u64): void { space = known >= oldest ? known : ++numbers; }
    export function regions_enter_globals(known: u64): void { globals = known >= oldest ? known : ++numbers; }
    export function regions_unmapped(va: u64): void {}`,
};

interface Tlb {
  attach(): void;
  enter(vcpu: number, pcid: number): void;
  load_cr3(vcpu: number, pcid: number, keep: number): void;
  flush(vcpu: number): void;
  flush_all(vcpu: number): void;
  flush_local(vcpu: number, all: number, pcid: number): void;
  flush_page(vcpu: number, va: bigint): void;
  flush_page_of(vcpu: number, va: bigint, pcid: number): void;
  forget_page(vcpu: number, va: bigint): void;
  protect(mfn: number): void;
  revoke(mfn: number): void;
  stores(table: number, va: bigint): number;
  forget_code(): void;
  insert(vcpu: number, table: number, va: bigint, mfn: number, flags: number): void;
  find(table: number, va: bigint): number;
  hit(table: number, va: bigint): number;
}

let tlb: Tlb;

before(async () => {
  const name: string = 'assemblyscript/asc';
  const { main } = await import(name);
  let wasm = new Uint8Array();
  const readFile = (file: string, base: string) => {
    const path = normalize(join(base, file));
    try {
      return STUBS[relative(ROOT, path)] ?? readFileSync(path, 'utf8');
    } catch {
      return null;
    }
  };
  const flags = [
    '--runtime',
    'stub',
    '--importMemory',
    '--sharedMemory',
    '--initialMemory',
    '1',
    '--maximumMemory',
    '1024',
  ];
  const { error, stderr } = await main(
    [
      'core/engine/tlb_test_entry.ts',
      '--baseDir',
      ROOT,
      '--outFile',
      'tlb.wasm',
      ...flags,
      '--enable',
      'threads',
      '-O1',
    ],
    { readFile, writeFile: (_: string, data: Uint8Array) => void (wasm = data), listFiles: () => [] },
  );
  assert.equal(error, null, stderr.toString());
  const memory = new WebAssembly.Memory({ initial: 1024, maximum: 1024, shared: true });
  const env = { memory, abort: () => assert.fail('abort') };
  const { instance } = await WebAssembly.instantiate(wasm as BufferSource, { env });
  tlb = instance.exports as unknown as Tlb;
});

const GLOBAL = 1;
const LARGE = 2;
const HUGE = 4;
const WRITABLE = 0x40000000;
const CODE = 0x20000000;
const NO_PCID = 0xffffffff;

/** Pages that meet in the tables' entries, in both halves of the address space; those of one region have one size. */
const PAGES: { va: bigint; flags: number }[] = [];
for (const half of [0n, 0xffff800000000000n])
  for (let i = 0n; i < 24n; i++) {
    PAGES.push({ va: half + 0x1000n * (i * 173n), flags: 0 });
    PAGES.push({ va: half + 0x40000000n + 0x1000n * (i * 21n), flags: LARGE });
    PAGES.push({ va: half + 0x80000000n + 0x1000n * (i * 10007n), flags: HUGE });
  }
const SIZE: Record<number, bigint> = { 0: 1n << 12n, [LARGE]: 1n << 21n, [HUGE]: 1n << 30n };

interface Entry {
  vcpu: number;
  pcid: number;
  table: number;
  page: number;
  mfn: number;
  global: boolean;
  writable: boolean;
  /** It was writable and is no more, not even with a check. */
  revoked: boolean;
}

const xorshift = (seed: number): ((below: number) => number) => {
  let s = seed;
  return (below) => {
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    return (s >>> 0) % below;
  };
};

test('random sets: nothing that was forgotten is found', () => {
  const rnd = xorshift(0x5eed);
  let entries: Entry[] = [];
  let vcpu = 0;
  const pcids = [0, 0];
  let hits = 0;
  const forget = (gone: (e: Entry) => boolean) => void (entries = entries.filter((e) => !gone(e)));
  /** Is `page` on the page that `va` is on? */
  const on = (page: number, va: bigint): boolean => {
    const p = PAGES[page]!;
    return p.va / SIZE[p.flags]! === va / SIZE[p.flags]!;
  };
  const pick = (): bigint => PAGES[rnd(PAGES.length)]!.va + BigInt(rnd(4096));
  const steps: (() => void)[] = [
    () => {
      vcpu = rnd(2);
      tlb.enter(vcpu, pcids[vcpu]!);
    },
    () => {
      const [pcid, keep] = [rnd(12), rnd(3) > 0];
      tlb.load_cr3(vcpu, pcid, Number(keep));
      pcids[vcpu] = pcid;
      if (!keep) forget((e) => e.vcpu === vcpu && e.pcid === pcid && !e.global);
    },
    () => {
      if (rnd(4)) return;
      tlb.flush(vcpu);
      forget((e) => e.vcpu === vcpu);
    },
    () => {
      if (rnd(8)) return;
      tlb.flush_all(vcpu);
      entries = [];
    },
    () => {
      const [all, pcid] = [rnd(4) === 0, rnd(12)];
      tlb.flush_local(vcpu, Number(all), pcid);
      forget((e) => e.vcpu === vcpu && (all || e.pcid === pcid) && !e.global);
    },
    () => {
      const va = pick();
      tlb.flush_page(vcpu, va);
      forget((e) => e.vcpu === vcpu && (e.pcid === pcids[vcpu] || e.global) && on(e.page, va));
    },
    () => {
      const [va, pcid] = [pick(), rnd(12)];
      tlb.flush_page_of(vcpu, va, pcid);
      forget((e) => e.vcpu === vcpu && e.pcid === pcid && !e.global && on(e.page, va));
    },
    () => {
      const va = pick();
      tlb.forget_page(vcpu, va);
      forget((e) => e.vcpu === vcpu && e.page === PAGES.findIndex((p) => p.va === va - (va & 0xfffn)));
    },
    () => {
      const mfn = 1000 + rnd(64);
      tlb.protect(mfn);
      for (const e of entries) if (e.mfn === mfn) e.writable = false;
    },
    () => {
      const mfn = 1000 + rnd(64) + (rnd(2) ? 8192 : 0);
      tlb.revoke(mfn);
      for (const e of entries) if (e.mfn === mfn) e.writable = !(e.revoked = true);
    },
  ];
  tlb.attach();
  tlb.enter(0, 0);
  for (let n = 0; n < 6000; n++) {
    for (let i = rnd(6); i > 0; i--) {
      const [page, table, global] = [rnd(PAGES.length), rnd(3), rnd(3) === 0];
      // Frames that meet in a slot, too.
      const mfn = 1000 + rnd(64) + (rnd(4) ? 0 : 8192);
      const { va, flags } = PAGES[page]!;
      const pcid = pcids[vcpu]!;
      tlb.insert(vcpu, table, va, mfn, flags | (global ? GLOBAL : 0));
      // The same frame again: it gains permissions, and is what it was made last.
      forget((e) => e.vcpu === vcpu && e.pcid === pcid && e.page === page && e.table === table);
      entries.push({ vcpu, pcid, table, page, mfn, global, writable: true, revoked: false });
    }
    steps[rnd(steps.length)]!();
    PAGES.forEach(({ va }, page) => {
      for (let table = 0; table < 3; table++) {
        const got = tlb.find(table, va);
        if (got === -1) continue;
        const known = entries.find(
          (e) => e.vcpu === vcpu && e.pcid === pcids[vcpu] && e.page === page && e.table === table,
        );
        const what = `step ${n}: ${va.toString(16)} in table ${table}`;
        assert.ok(known, `${what} was forgotten`);
        assert.equal(got & ~(WRITABLE | CODE), known.mfn, what);
        if (got & WRITABLE) assert.ok(known.writable, `${what} was protected`);
        if (tlb.stores(table, va)) assert.ok(!known.revoked, `${what} was revoked`);
        hits++;
      }
    });
  }
  assert.ok(hits > 20_000, `only ${hits} translations were found`);
});

test('a space that is entered again finds its translations, another vCPU does not', () => {
  tlb.attach();
  tlb.enter(0, 1);
  tlb.insert(0, 2, 0x5000n, 77, 0);
  tlb.load_cr3(0, 2, 1);
  assert.equal(tlb.find(2, 0x5000n), -1);
  tlb.enter(1, 1);
  assert.equal(tlb.find(2, 0x5000n), -1);
  tlb.enter(0, 1);
  assert.equal(tlb.find(2, 0x5000n), 77 | WRITABLE | CODE);
  tlb.forget_code();
  assert.equal(tlb.find(2, 0x5000n), 77 | WRITABLE);
});

test('without PCIDs a CR3 load keeps global translations only', () => {
  tlb.attach();
  tlb.enter(0, NO_PCID);
  tlb.insert(0, 0, 0x5000n, 77, 0);
  tlb.insert(0, 0, 0x6000n, 78, GLOBAL);
  tlb.load_cr3(0, NO_PCID, 0);
  assert.deepEqual([tlb.find(0, 0x5000n), tlb.find(0, 0x6000n) & 0xffff], [-1, 78]);
});

test('more spaces than sets: the one entered longest ago goes', () => {
  tlb.attach();
  for (let pcid = 1; pcid <= 8; pcid++) {
    tlb.enter(0, pcid);
    tlb.insert(0, 0, 0x5000n, pcid, 0);
  }
  tlb.enter(0, 1);
  tlb.enter(0, 9);
  const found = [1, 2, 3, 8].map((pcid) => {
    tlb.enter(0, pcid);
    return tlb.find(0, 0x5000n) & 0xffff;
  });
  // 9 took 2's place; looking for 2 took 3's, and so on
  assert.deepEqual(found, [1, 0xffff, 0xffff, 8]);
});

test('empty tables give nothing: not for page 0, not for an access that wraps to it', () => {
  tlb.attach();
  tlb.enter(0, 0);
  for (let table = 0; table < 3; table++)
    for (const va of [0n, 4n, 0xfffffffffffffffdn, 0xffffffffn, 0x7fffffffffffn, 0xfffffffdn])
      assert.equal(tlb.hit(table, va), 0, va.toString(16));
});
