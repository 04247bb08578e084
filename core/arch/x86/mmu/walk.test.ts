// The page walker against a naive model of SDM vol. 3, 4.3-4.8 on random tables: translation, rights, error codes, and the accessed
// and dirty bits that each walk leaves in the guest's memory.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join, normalize, relative } from 'node:path';
import { before, test } from 'node:test';

const ROOT = join(import.meta.dirname, '../../../..');
/** Guest frame n lies at BASE + n × 4096. The last ones may not be written, those behind do not exist. */
const BASE = 0x100000;
const FRAMES = 48;
const READ_ONLY = 44;

/** What the walker needs of the rest of the core. */
const STUBS: Record<string, string> = {
  'core/hypervisor/engine.ts': `
    import { Cpu } from '../arch/x86/cpu';
    export let engine_frame_writable: bool = false;
    export function engine_gfn_frame(cpu: Cpu, gfn: u64, write: bool): u32 {
      engine_frame_writable = gfn < ${READ_ONLY};
      if (gfn >= ${FRAMES} || (write && !engine_frame_writable)) return 0xffffffff;
      return ${BASE >> 12} + <u32>gfn;
    }
    export function engine_is_table(cpu: Cpu, mfn: u64, level: i32): bool { return false; }`,
  'core/arch/x86/pv/window.ts': `
    import { Cpu } from '../cpu';
    export function pv_reserved(cpu: Cpu, va: u64): bool { return false; }
    export function pv_window_frame(cpu: Cpu, va: u64): u32 { return 0; }`,
  'core/engine/code_writes.ts': `
    export function code_in(mfn: u32): bool { return false; }
    export function code_written(p: usize, len: u32): bool { return true; }`,
};

interface Walker {
  configure(cr0: bigint, cr3: bigint, cr4: bigint, efer: bigint): void;
  pdptes(e0: bigint, e1: bigint, e2: bigint, e3: bigint): void;
  translate(va: bigint, access: number, table: number): number;
  error(): number;
  gpa(): bigint;
  perms(): number;
  dirty(): number;
}

let walker: Walker;
const memory = new WebAssembly.Memory({ initial: 32, maximum: 32, shared: true });
const guest = new Uint8Array(memory.buffer, BASE, FRAMES * 4096);

before(async () => {
  const name: string = 'assemblyscript/asc';
  const { main } = await import(name);
  let wasm = new Uint8Array();
  const readFile = (file: string, base: string) => {
    const path = normalize(join(base, file));
    const stub = STUBS[relative(ROOT, path)];
    if (stub) return stub;
    try {
      return readFileSync(path, 'utf8');
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
    '32',
  ];
  const { error, stderr } = await main(
    [
      'core/arch/x86/mmu/walk_entry.ts',
      '--baseDir',
      ROOT,
      '--outFile',
      'walk.wasm',
      ...flags,
      '--enable',
      'threads',
      '-O1',
    ],
    { readFile, writeFile: (_: string, data: Uint8Array) => void (wasm = data), listFiles: () => [] },
  );
  assert.equal(error, null, stderr.toString());
  const env = { memory, abort: () => assert.fail('abort') };
  const { instance } = await WebAssembly.instantiate(wasm as BufferSource, { env });
  walker = instance.exports as unknown as Walker;
});

/** xorshift: the same tables every time. */
function random(seed: number): (below: number) => number {
  let s = seed;
  return (below) => {
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    return (s >>> 0) % below;
  };
}

interface Mode {
  name: string;
  cr0: bigint;
  cr4: bigint;
  efer: bigint;
  levels: number;
  /** Bytes of an entry. */
  size: 4 | 8;
}

const P = 1n, RW = 2n, US = 4n, A = 0x20n, D = 0x40n, PS = 0x80n, NX = 1n << 63n; // prettier-ignore
const bit = (v: bigint, n: number) => ((v >> BigInt(n)) & 1n) === 1n;
const PHYS = 46n;

interface Answer {
  ok: boolean;
  error: number;
  gpa: bigint;
  perms: number;
  dirty: boolean;
}

/** The model. `mem` is its own copy of guest memory. */
function model(mem: DataView, m: Mode, cr3: bigint, va: bigint, access: number, table: number): Answer {
  const long = m.levels === 4;
  const nxe = bit(m.efer, 11);
  const [wp, smep, smap, pse] = [bit(m.cr0, 16), bit(m.cr4, 20), bit(m.cr4, 21), bit(m.cr4, 4)];
  const fail = (error: number): Answer => {
    if (access === 1) error |= 2;
    if (table === 2) error |= 4;
    if (access === 2 && (smep || (m.size === 8 && nxe))) error |= 16;
    return { ok: false, error, gpa: 0n, perms: 0, dirty: false };
  };
  const read = (at: bigint) => {
    if (at >> 12n >= BigInt(FRAMES)) return m.size === 8 ? (1n << 64n) - 1n : 0xffffffffn;
    return m.size === 8 ? mem.getBigUint64(Number(at), true) : BigInt(mem.getUint32(Number(at), true));
  };
  const indexBits = m.size === 8 ? 9n : 10n;
  let base = long ? cr3 & 0x000ffffffffff000n : m.levels === 3 ? cr3 & 0xffffffe0n : cr3 & 0xfffff000n;
  let user = true;
  let writable = true;
  let noExecute = false;
  const path: bigint[] = [];
  for (let level = m.levels; ; level--) {
    const shift = 12n + indexBits * BigInt(level - 1);
    const isPdpte = m.levels === 3 && level === 3;
    const index = (va >> shift) & (isPdpte ? 3n : (1n << indexBits) - 1n);
    const at = base + index * BigInt(m.size);
    const e = read(at);
    if (!(e & P)) return fail(0);
    const large = !isPdpte && level > 1 && level < 4 && (e & PS) !== 0n && (m.size === 8 || pse);
    let reserved = false;
    if (m.size === 8) {
      for (let b = Number(PHYS); b < 52; b++) reserved ||= bit(e, b);
      if (!long) for (let b = 52; b < 63; b++) reserved ||= bit(e, b);
      if (bit(e, 63) && !nxe) reserved = true;
      if (level === 4 && bit(e, 7)) reserved = true;
      if (large) for (let b = 13; b < Number(shift); b++) reserved ||= bit(e, b);
    } else if (large && bit(e, 21)) reserved = true;
    if (reserved) return fail(1 | 8);
    if (!isPdpte) {
      user &&= (e & US) !== 0n;
      writable &&= (e & RW) !== 0n;
      noExecute ||= m.size === 8 && (e & NX) !== 0n;
      path.push(at);
    }
    const address = m.size === 8 ? e & 0x000ffffffffff000n : e & 0xfffff000n;
    if (!large && level > 1) {
      base = address;
      continue;
    }
    const offset = va & ((1n << shift) - 1n);
    let frame = (address >> shift) << shift;
    if (large && m.size === 4) frame = (e & 0xffc00000n) | (((e >> 13n) & 0xffn) << 32n);
    let perms = 0;
    if (table === 2) {
      if (user) perms = 1 | (writable ? 2 : 0) | (noExecute ? 0 : 4);
    } else {
      const data = !(user && smap && table === 0);
      if (data) perms |= 1;
      if (data && (writable || !wp)) perms |= 2;
      if (!noExecute && !(user && smep)) perms |= 4;
    }
    if (!(perms & (1 << access))) return fail(1);
    path.forEach((p, i) => {
      if (p >> 12n >= BigInt(READ_ONLY)) return;
      const set = read(p) | A | (i === path.length - 1 && access === 1 ? D : 0n);
      if (m.size === 8) mem.setBigUint64(Number(p), set, true);
      else mem.setUint32(Number(p), Number(set), true);
    });
    const settable = at >> 12n < BigInt(READ_ONLY);
    return { ok: true, error: 0, gpa: frame + offset, perms, dirty: (e & D) !== 0n || (access === 1 && settable) };
  }
}

/** PAE's top-level entries at an address. */
const pdptesAt = (mem: DataView, cr3: bigint): bigint[] =>
  [0, 8, 16, 24].map((offset) => mem.getBigUint64(Number(cr3) + offset, true));

/** Would a CR3 load take these? Only such are ever walked (SDM vol. 3, 4.4.1). */
const loadable = (entries: bigint[]): boolean => entries.every((e) => !(e & P) || !(e & ~0x3fff_ffff_fe19n));

/** Fill guest memory with random entries: mostly present, leading to frames that exist. */
function fill(rnd: (n: number) => number, size: 4 | 8, pdptes: boolean): void {
  const view = new DataView(guest.buffer, BASE, guest.length);
  const chance = (percent: number) => rnd(100) < percent;
  for (let at = 0; at < guest.length; at += size) {
    let e = BigInt(chance(2) ? rnd(1 << 20) : rnd(FRAMES)) << 12n;
    if (chance(95)) e |= P;
    if (chance(85)) e |= RW;
    if (chance(75)) e |= US;
    if (chance(30)) e |= A;
    if (chance(30)) e |= D;
    if (chance(12)) e = (chance(70) ? e & 0xfffn : e) | PS | (chance(30) ? 0x1000n : 0n);
    if (size === 8) {
      if (chance(10)) e |= NX;
      if (chance(2)) e |= 1n << BigInt(46 + rnd(17));
      // The first frame holds PAE's top-level entries, which have hardly any flags.
      if (pdptes && at < 4096 && chance(90)) e &= 0xfffff001n;
      view.setBigUint64(at, e, true);
    } else view.setUint32(at, Number(e & 0xffffffffn), true);
  }
}

const PG_PE = 0x80000001n;
const MODES: Mode[] = [];
for (let i = 0; i < 16; i++) {
  const wp = i & 1 ? 0x10000n : 0n;
  const protection = (i & 2 ? 0x100000n : 0n) | (i & 4 ? 0x200000n : 0n);
  const nxe = i & 8 ? 0x800n : 0n;
  const cr0 = PG_PE | wp;
  const what = `WP ${i & 1}, SMEP/SMAP ${(i >> 1) & 3}`;
  MODES.push({
    name: `4-level, ${what}, NXE ${nxe}`,
    cr0,
    cr4: 0x20n | protection,
    efer: 0x500n | nxe,
    levels: 4,
    size: 8,
  });
  MODES.push({ name: `PAE, ${what}, NXE ${nxe}`, cr0, cr4: 0x20n | protection, efer: nxe, levels: 3, size: 8 });
  const pse = i & 8 ? 0x10n : 0n;
  MODES.push({ name: `32-bit, ${what}, PSE ${pse}`, cr0, cr4: pse | protection, efer: 0n, levels: 2, size: 4 });
}

test('random tables: the walker and the model agree', () => {
  const seen = { ok: 0, absent: 0, reserved: 0, denied: 0 };
  MODES.forEach((m, n) => {
    const rnd = random(0x1234567 + n * 7919);
    fill(rnd, m.size, m.levels === 3);
    const copy = new DataView(guest.slice().buffer);
    const bits = m.levels === 4 ? 48 : 32;
    for (let i = 0; i < 1500; i++) {
      let cr3 = BigInt(rnd(FRAMES)) << 12n;
      if (m.levels === 3) {
        do cr3 = BigInt(rnd(128) * 32);
        while (!loadable(pdptesAt(copy, cr3)));
        const [e0, e1, e2, e3] = pdptesAt(copy, cr3);
        walker.pdptes(e0!, e1!, e2!, e3!);
      }
      let va = BigInt.asUintN(
        bits,
        (BigInt(rnd(0x10000)) << 32n) | (BigInt(rnd(0x10000)) << 16n) | BigInt(rnd(0x10000)),
      );
      if (bits === 48) va = BigInt.asUintN(64, BigInt.asIntN(48, va));
      const [access, table] = [rnd(3), rnd(3)];
      walker.configure(m.cr0, cr3, m.cr4, m.efer);
      const got = walker.translate(va, access, table);
      const want = model(copy, m, cr3, va, access, table);
      const what = `${m.name}: cr3 ${cr3.toString(16)} va ${va.toString(16)} access ${access} table ${table}`;
      assert.equal(got === 1, want.ok, what);
      if (want.ok) {
        const gpa = BigInt.asUintN(64, walker.gpa());
        assert.deepEqual([gpa, walker.perms(), Boolean(walker.dirty())], [want.gpa, want.perms, want.dirty], what);
        seen.ok++;
      } else {
        assert.equal(walker.error(), want.error, what);
        if (want.error & 8) seen.reserved++;
        else if (want.error & 1) seen.denied++;
        else seen.absent++;
      }
    }
    assert.deepEqual(Buffer.from(guest), Buffer.from(copy.buffer), `${m.name}: accessed and dirty bits`);
  });
  for (const [outcome, count] of Object.entries(seen)) assert.ok(count > 1000, `only ${count} walks were ${outcome}`);
});

test('without paging addresses are physical', () => {
  walker.configure(1n, 0n, 0n, 0n);
  assert.equal(walker.translate(0xfedcba98n, 1, 2), 1);
  assert.equal(walker.gpa(), 0xfedcba98n);
  assert.equal(walker.perms(), 7);
});
