// x87 control: environment, state images, status and control words (SDM vol. 1, 8.1.10; vol. 2). Rows: spec/x86/x87.ts.
import { Cpu, CPU_FCS, CPU_FDP, CPU_FDS, CPU_FIP, CPU_FOP, CPU_FPR } from '../cpu';
import { MODE_PE, MODE_VM86 } from '../modes';
import { ea_slow } from '../../../engine/address';
import { commit, ld, probe_range, read_ptr, st, write_ptr } from '../../../engine/mem';
import { fcw, fsw, FSW_B, FSW_ES, ftw, mf, set_fcw, set_fsw, set_ftw, update_es } from '../fpu/x87_state';

/** The control word's writable bits; bit 6 reads as 1. */
const FCW_BITS: u32 = 0x1f3f;

export function FLDCW(cpu: Cpu, u: usize): i32 {
  if (mf(cpu)) return 1;
  const p = read_ptr(cpu, ea_slow(cpu, u, 2, false), 2);
  if (p == 0) return 1;
  set_fcw(cpu, ((<u32>load<u16>(p)) & FCW_BITS) | 0x40);
  update_es(cpu);
  return 0;
}

function store16(cpu: Cpu, u: usize, v: u32): i32 {
  const p = write_ptr(cpu, ea_slow(cpu, u, 2, true), 2);
  if (p == 0) return 1;
  store<u16>(p, <u16>v);
  commit(cpu, p);
  return 0;
}
export function FNSTCW(cpu: Cpu, u: usize): i32 {
  return store16(cpu, u, fcw(cpu));
}
export function FNSTSW_m16(cpu: Cpu, u: usize): i32 {
  return store16(cpu, u, fsw(cpu));
}
export function FNSTSW_ax(cpu: Cpu, u: usize): i32 {
  store<u16>(changetype<usize>(cpu), <u16>fsw(cpu));
  return 0;
}

export function FNCLEX(cpu: Cpu, u: usize): i32 {
  set_fsw(cpu, fsw(cpu) & 0x7f00);
  return 0;
}

/** The state after FNINIT (also part of reset). */
export function x87_init(cpu: Cpu): void {
  set_fcw(cpu, 0x37f);
  set_fsw(cpu, 0);
  set_ftw(cpu, 0);
  const c = changetype<usize>(cpu);
  store<u64>(c, 0, CPU_FIP);
  store<u64>(c, 0, CPU_FDP);
  store<u16>(c, 0, CPU_FOP);
  store<u16>(c, 0, CPU_FCS);
  store<u16>(c, 0, CPU_FDS);
}
export function FNINIT(cpu: Cpu, u: usize): i32 {
  x87_init(cpu);
  return 0;
}

export function FNOP(cpu: Cpu, u: usize): i32 {
  return mf(cpu) ? 1 : 0;
}
export function FNENI(cpu: Cpu, u: usize): i32 {
  return 0;
}
export function FNDISI(cpu: Cpu, u: usize): i32 {
  return 0;
}
export function FNSETPM(cpu: Cpu, u: usize): i32 {
  return 0;
}

/** The tag word of the environment image: two bits a physical register: 0 valid, 1 zero, 2 special, 3 empty. */
export function full_tag(cpu: Cpu): u32 {
  let t: u32 = 0;
  for (let i = 7; i >= 0; i--) {
    t <<= 2;
    if (!((ftw(cpu) >> i) & 1)) {
      t |= 3;
      continue;
    }
    const p = changetype<usize>(cpu) + CPU_FPR + ((<usize>i) << 4);
    const m = load<u64>(p);
    const e = (<u32>load<u16>(p, 8)) & 0x7fff;
    if (e == 0 && m == 0) t |= 1;
    else if (e == 0 || e == 0x7fff || <i64>m >= 0) t |= 2;
  }
  return t;
}
function set_full_tag(cpu: Cpu, t: u32): void {
  let v: u32 = 0;
  for (let i = 0; i < 8; i++) if (((t >> (2 * i)) & 3) != 3) v |= 1 << i;
  set_ftw(cpu, v);
}

/** Real and virtual-8086 mode keep 20- or 32-bit pointers in pieces; protected mode selector and offset. */
@inline function real_format(cpu: Cpu): bool {
  return !(cpu.mode & MODE_PE) || (cpu.mode & MODE_VM86) != 0;
}

function store_env<T>(cpu: Cpu, va: u64): void {
  const c = changetype<usize>(cpu);
  const ip = <u32>load<u64>(c, CPU_FIP);
  const dp = <u32>load<u64>(c, CPU_FDP);
  const cs = <u32>load<u16>(c, CPU_FCS);
  const ds = <u32>load<u16>(c, CPU_FDS);
  const op = (<u32>load<u16>(c, CPU_FOP)) & 0x7ff;
  const real = real_format(cpu);
  if (sizeof<T>() == 2) {
    st<u16>(cpu, va, <u16>fcw(cpu));
    st<u16>(cpu, va + 2, <u16>fsw(cpu));
    st<u16>(cpu, va + 4, <u16>full_tag(cpu));
    const lip = real ? ip + (cs << 4) : ip;
    const ldp = real ? dp + (ds << 4) : dp;
    st<u16>(cpu, va + 6, <u16>lip);
    st<u16>(cpu, va + 8, <u16>(real ? ((lip >> 4) & 0xf000) | op : cs));
    st<u16>(cpu, va + 10, <u16>ldp);
    st<u16>(cpu, va + 12, <u16>(real ? (ldp >> 4) & 0xf000 : ds));
    return;
  }
  const ones: u32 = 0xffff0000;
  st<u32>(cpu, va, ones | fcw(cpu));
  st<u32>(cpu, va + 4, ones | fsw(cpu));
  st<u32>(cpu, va + 8, ones | full_tag(cpu));
  if (real) {
    const lip = ip + (cs << 4);
    const ldp = dp + (ds << 4);
    st<u32>(cpu, va + 12, ones | (lip & 0xffff));
    st<u32>(cpu, va + 16, ((lip >> 4) & 0xffff000) | op);
    st<u32>(cpu, va + 20, ones | (ldp & 0xffff));
    st<u32>(cpu, va + 24, (ldp >> 4) & 0xffff000);
    return;
  }
  st<u32>(cpu, va + 12, ip);
  st<u32>(cpu, va + 16, (op << 16) | cs);
  st<u32>(cpu, va + 20, dp);
  st<u32>(cpu, va + 24, ones | ds);
}

function load_env<T>(cpu: Cpu, va: u64): void {
  const c = changetype<usize>(cpu);
  const real = real_format(cpu);
  let ip: u32;
  let dp: u32;
  let cs: u32;
  let ds: u32;
  let op: u32 = 0;
  if (sizeof<T>() == 2) {
    ip = ld<u16>(cpu, va + 6);
    cs = ld<u16>(cpu, va + 8);
    dp = ld<u16>(cpu, va + 10);
    ds = ld<u16>(cpu, va + 12);
    if (real) {
      op = cs & 0x7ff;
      ip |= (cs & 0xf000) << 4;
      dp |= (ds & 0xf000) << 4;
    }
    set_full_tag(cpu, ld<u16>(cpu, va + 4));
    set_fsw(cpu, ld<u16>(cpu, va + 2));
  } else {
    ip = ld<u32>(cpu, va + 12);
    cs = ld<u32>(cpu, va + 16);
    dp = ld<u32>(cpu, va + 20);
    ds = ld<u32>(cpu, va + 24);
    if (real) {
      op = cs & 0x7ff;
      ip = (ip & 0xffff) | ((cs & 0xffff000) << 4);
      dp = (dp & 0xffff) | ((ds & 0xffff000) << 4);
    } else op = (cs >> 16) & 0x7ff;
    set_full_tag(cpu, ld<u16>(cpu, va + 8));
    set_fsw(cpu, ld<u16>(cpu, va + 4));
  }
  if (real) cs = ds = 0;
  set_fcw(cpu, ((<u32>ld<u16>(cpu, va)) & FCW_BITS) | 0x40);
  store<u64>(c, ip, CPU_FIP);
  store<u64>(c, dp, CPU_FDP);
  store<u16>(c, <u16>cs, CPU_FCS);
  store<u16>(c, <u16>ds, CPU_FDS);
  store<u16>(c, <u16>op, CPU_FOP);
  update_es(cpu);
}

@inline function env_size<T>(): i32 {
  return sizeof<T>() == 2 ? 14 : 28;
}

/** Processors touch the first word and then the last byte: a page fault names one of them. */
function probe_image<T>(cpu: Cpu, va: u64, n: i32, write: bool): bool {
  const word = sizeof<T>() == 2 ? 2 : 4;
  return probe_range(cpu, va, word, write, word) && probe_range(cpu, va + <u64>(n - 1), 1, write);
}

export function FLDENV<T>(cpu: Cpu, u: usize): i32 {
  if (mf(cpu)) return 1;
  const n = env_size<T>();
  const va = ea_slow(cpu, u, n, false);
  if (!probe_image<T>(cpu, va, n, false)) return 1;
  load_env<T>(cpu, va);
  return 0;
}

/** Stores, then masks all exceptions. */
export function FNSTENV<T>(cpu: Cpu, u: usize): i32 {
  const n = env_size<T>();
  const va = ea_slow(cpu, u, n, true);
  if (!probe_image<T>(cpu, va, n, true)) return 1;
  store_env<T>(cpu, va);
  set_fcw(cpu, fcw(cpu) | 0x3f);
  set_fsw(cpu, fsw(cpu) & ~(FSW_ES | FSW_B));
  return 0;
}

/** Host address of ST(i). */
@inline function slot(cpu: Cpu, i: u32): usize {
  return changetype<usize>(cpu) + CPU_FPR + ((<usize>(((fsw(cpu) >> 11) + i) & 7)) << 4);
}

export function FRSTOR<T>(cpu: Cpu, u: usize): i32 {
  if (mf(cpu)) return 1;
  const n = env_size<T>();
  const va = ea_slow(cpu, u, n + 80, false);
  if (!probe_image<T>(cpu, va, n + 80, false)) return 1;
  load_env<T>(cpu, va);
  for (let i: u32 = 0; i < 8; i++) {
    const p = slot(cpu, i);
    store<u64>(p, ld<u64>(cpu, va + n + 10 * i));
    store<u16>(p, ld<u16>(cpu, va + n + 10 * i + 8), 8);
  }
  return 0;
}

export function FNSAVE<T>(cpu: Cpu, u: usize): i32 {
  const n = env_size<T>();
  const va = ea_slow(cpu, u, n + 80, true);
  if (!probe_image<T>(cpu, va, n + 80, true)) return 1;
  store_env<T>(cpu, va);
  for (let i: u32 = 0; i < 8; i++) {
    const p = slot(cpu, i);
    st<u64>(cpu, va + n + 10 * i, load<u64>(p));
    st<u16>(cpu, va + n + 10 * i + 8, load<u16>(p, 8));
  }
  x87_init(cpu);
  return 0;
}
