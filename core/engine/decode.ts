// The decoder: bytes of one instruction to one micro-op (SDM vol. 2, chapter 2). Driven by the table from spec/x86.
import { Cpu } from '../arch/x86/cpu';
import { MODE_CS32, MODE_CS64, MODE_SSE, MODE_X87 } from '../arch/x86/modes';
import { FORM_GP, FORM_UD, FORM_UNIT } from '../gen/forms';
import { X_ADDR16 } from './address';
import {
  A_D64,
  A_F64,
  A_FIXED,
  A_I64,
  A_LOCK,
  A_LOCKED,
  A_MMX,
  A_MODRM,
  A_NOREXB,
  A_NOREXW,
  A_O64,
  A_OSIZE,
  A_REP,
  A_REXB,
  A_REXW,
  A_RM_REG,
  A_SSE,
  A_STI,
  A_X87,
  CLASS_BYTE,
  CLASS_MMX,
  CLASS_XMM,
  DecodeRow,
  IMM_B,
  IMM_JB,
  IMM_JZ,
  IMM_O,
  IMM_ONE,
  IMM_P,
  IMM_V,
  IMM_W,
  IMM_WB,
  IMM_Z,
  PREFIX_66,
  PREFIX_F2,
  PREFIX_F3,
  PREFIX_NP,
  SRC_FIXED,
  SRC_MODRM,
  SRC_OPCODE,
  first_row,
  next_row,
  row_form,
} from './decode_table';
import { UNIT_MMX, UNIT_SSE, UOP_LOCK, UOP_MEM, UOP_SPECIAL } from './uop';

const MAX_LENGTH: usize = 15;
const SLOT_ZERO: u32 = 128;
const SLOT_PAGE: u32 = 136;
const SLOT_PLUS4G: u32 = 144;
const NO_SEG: u32 = 7;
const NO_SEG_STACK: u32 = 6;

// The instruction being decoded: a cursor, where the bytes end, and what the prefixes said.
let at: usize = 0;
let end: usize = 0;
let short: bool = false;
let rex: u32 = 0;
let opsize16: bool = false;
let addr_toggle: bool = false;
let lock: bool = false;
let rep: u32 = 0;
let prefix_seg: u32 = 8;
/** Attributes of the row that the last decode() used; A_END for a faulting form. */
export let decoded_attrs: u32 = 0;

function get8(): u32 {
  if (at >= end) {
    short = true;
    return 0;
  }
  return load<u8>(at++);
}

function get16(): u32 {
  const low = get8();
  return low | (get8() << 8);
}

function get32(): i32 {
  if (at + 4 <= end) {
    const v = load<i32>(at);
    at += 4;
    return v;
  }
  short = true;
  at = end;
  return 0;
}

/**
 * Decode the instruction at host address `p` into the micro-op `u`. `avail` bytes may be read; `pos` is its offset in the page.
 * Returns its length, or 0 if it needs more than `avail` bytes.
 */
export function decode(cpu: Cpu, p: usize, avail: u32, pos: u32, u: usize): u32 {
  const limited = avail < <u32>MAX_LENGTH;
  at = p;
  end = p + (limited ? avail : MAX_LENGTH);
  short = false;
  const form = decode_into(cpu, u, pos, p);
  if (short) {
    if (limited) return 0;
    return fault(u, pos, FORM_GP, 15); // longer than 15 bytes: #GP(0)
  }
  if (form == FORM_UD || form == FORM_UNIT) return fault(u, pos, form, <u32>(at - p));
  const length = <u32>(at - p);
  store<u16>(u, <u16>form);
  store<u16>(u, <u16>(pos | (length << 12)), 2);
  return length;
}

function fault(u: usize, pos: u32, form: u32, length: u32): u32 {
  store<u16>(u, <u16>form);
  store<u16>(u, <u16>(pos | (length << 12)), 2);
  decoded_attrs = 0x40; // A_END: nothing behind it is reached
  return length;
}

function prefixes(cpu: Cpu): u32 {
  rex = 0;
  opsize16 = addr_toggle = lock = false;
  rep = 0;
  prefix_seg = 8;
  const long = (cpu.mode & MODE_CS64) != 0;
  while (true) {
    const c = get8();
    if (short) return 0;
    if (long && (c & 0xf0) == 0x40) {
      rex = c;
      const next = get8();
      // A REX prefix counts only right before the opcode; another prefix cancels it.
      if (!is_prefix(next) && (next & 0xf0) != 0x40) return next;
      rex = 0;
      at--;
      continue;
    }
    switch (c) {
      case 0x66:
        opsize16 = true;
        break;
      case 0x67:
        addr_toggle = true;
        break;
      case 0xf0:
        lock = true;
        break;
      case 0xf2:
        rep = 2;
        break;
      case 0xf3:
        rep = 1;
        break;
      case 0x26:
        if (!long) prefix_seg = 0;
        break;
      case 0x2e:
        if (!long) prefix_seg = 1;
        break;
      case 0x36:
        if (!long) prefix_seg = 2;
        break;
      case 0x3e:
        if (!long) prefix_seg = 3;
        break;
      case 0x64:
        prefix_seg = 4;
        break;
      case 0x65:
        prefix_seg = 5;
        break;
      default:
        return c;
    }
  }
}

function is_prefix(c: u32): bool {
  return (
    c == 0x66 ||
    c == 0x67 ||
    c == 0xf0 ||
    c == 0xf2 ||
    c == 0xf3 ||
    c == 0x26 ||
    c == 0x2e ||
    c == 0x36 ||
    c == 0x3e ||
    c == 0x64 ||
    c == 0x65
  );
}

function matches(r: DecodeRow, long: bool, modrm: u32): bool {
  const a = r.attrs;
  if (a & A_O64 && !long) return false;
  if (a & A_I64 && long) return false;
  switch (<u32>r.prefix) {
    case PREFIX_NP:
      if (opsize16 || rep) return false;
      break;
    case PREFIX_66:
      if (!opsize16 || rep) return false;
      break;
    case PREFIX_F3:
      if (rep != 1) return false;
      break;
    case PREFIX_F2:
      if (rep != 2) return false;
      break;
    default:
      break;
  }
  if (a & A_FIXED) {
    if ((a & A_STI ? modrm & 0xf8 : modrm) != r.fixed) return false;
  } else if (a & A_MODRM) {
    if (r.ext != 0xff && ((modrm >>> 3) & 7) != r.ext) return false;
    if (!(a & A_RM_REG) && r.form && modrm >= 0xc0 != (r.form == 2)) return false;
  }
  if (a & A_REXW && !(rex & 8)) return false;
  if (a & A_NOREXW && rex & 8) return false;
  if (a & A_REXB && !(rex & 1)) return false;
  if (a & A_NOREXB && rex & 1) return false;
  return true;
}

function decode_into(cpu: Cpu, u: usize, pos: u32, start: usize): u32 {
  let opcode = prefixes(cpu);
  if (short) return FORM_UD;
  const long = (cpu.mode & MODE_CS64) != 0;
  let map: u32 = 0;
  if (opcode == 0x0f) {
    opcode = get8();
    map = 1;
    if (opcode == 0x38 || opcode == 0x3a) {
      map = opcode == 0x38 ? 2 : 3;
      opcode = get8();
    }
    if (short) return FORM_UD;
  }
  let row = first_row(map, opcode);
  // Peek at the ModRM byte: candidates are told apart by it.
  const modrm: u32 = at < end ? load<u8>(at) : 0;
  let needs = false;
  for (; changetype<usize>(row) != 0; row = next_row(row)) {
    if (row.attrs & (A_MODRM | A_FIXED)) needs = true;
    if (matches(row, long, modrm)) break;
  }
  if (needs && at >= end) {
    short = true;
    return FORM_UD;
  }
  if (changetype<usize>(row) == 0) return FORM_UD;
  return fill_uop(cpu, u, pos, start, row, opcode, modrm);
}

function fill_uop(cpu: Cpu, u: usize, pos: u32, start: usize, row: DecodeRow, opcode: u32, modrm: u32): u32 {
  const long = (cpu.mode & MODE_CS64) != 0;
  const attrs = row.attrs;
  decoded_attrs = attrs;
  const size = operand_size(cpu, attrs, row.prefix);
  store<u64>(u, 0, 8);
  let m: u32 = special(cpu) ? UOP_SPECIAL : 0;
  let x: u32 = SLOT_ZERO;
  let b: u32 = SLOT_ZERO;
  let variant: u32 = 1;
  if (attrs & A_FIXED) {
    at++;
    if (attrs & A_STI) b = (modrm & 7) << 3;
    m |= segment(cpu, 3);
  } else if (attrs & A_MODRM) {
    at++;
    if (modrm >= 0xc0 || attrs & A_RM_REG) {
      b = slot((modrm & 7) | ((rex & 1) << 3), row.b_class);
      m |= segment(cpu, 3);
    } else {
      m |= UOP_MEM;
      if (m & UOP_SPECIAL && address_size(cpu) == 0) x = mem16(u, modrm);
      else x = mem32(cpu, u, modrm, pos);
      b = mem_base;
      m |= mem_scale | segment(cpu, mem_stack ? 2 : 3);
      variant = m & UOP_SPECIAL ? 0 : x == SLOT_ZERO && ((m >>> 2) & 7) >= 6 ? 3 : 2;
    }
  } else m |= segment(cpu, 3);
  if (row.b_src == SRC_OPCODE) b = slot((opcode & 7) | ((rex & 1) << 3), row.b_class);
  let r: u32 = 0;
  if (row.r_src == SRC_MODRM) r = slot(((modrm >>> 3) & 7) | ((rex & 4) << 1), row.r_class);
  else if (row.r_src == SRC_FIXED) r = row.r_fixed;
  if (attrs & A_OSIZE) r = (<u32>2) << size;
  if (m & UOP_SPECIAL && address_size(cpu) == 0) x |= X_ADDR16;
  if (lock) {
    if (!(attrs & A_LOCK) || !(m & UOP_MEM)) return FORM_UD;
    m |= UOP_LOCK;
    variant = 0;
  } else if (attrs & A_LOCKED && m & UOP_MEM) {
    m |= UOP_LOCK;
    variant = 0;
  }
  if (attrs & A_REP) store<i32>(u, rep, 8);
  immediate(cpu, u, row.imm, size, pos, start);
  if (far_target) x = SLOT_PLUS4G;
  far_target = false;
  if (mem_rip && m & UOP_MEM) x = rip_relative(u, pos, start, x);
  mem_rip = false;
  store<u8>(u, <u8>r, 4);
  store<u8>(u, <u8>b, 5);
  store<u8>(u, <u8>x, 6);
  store<u8>(u, <u8>m, 7);
  if (!units(cpu, attrs)) {
    store<u8>(u, <u8>(attrs & A_SSE ? UNIT_SSE : attrs & A_MMX ? UNIT_MMX : 0), 4);
    return FORM_UNIT;
  }
  return row_form(row, size, variant);
}

/** 0, 1, 2 for 16, 32, 64 bits. */
function operand_size(cpu: Cpu, attrs: u32, prefix: u32): u32 {
  const p66 = opsize16 && prefix != PREFIX_66;
  if (cpu.mode & MODE_CS64) {
    if (attrs & A_F64 || rex & 8) return 2;
    if (p66) return 0;
    return attrs & A_D64 ? 2 : 1;
  }
  return ((cpu.mode & MODE_CS32) != 0) != p66 ? 1 : 0;
}

/** 0, 1, 2 for 16, 32, 64 bits. */
function address_size(cpu: Cpu): u32 {
  if (cpu.mode & MODE_CS64) return addr_toggle ? 1 : 2;
  return ((cpu.mode & MODE_CS32) != 0) != addr_toggle ? 1 : 0;
}

function special(cpu: Cpu): bool {
  return !(cpu.mode & MODE_CS64) || addr_toggle;
}

/** Segment base slot, shifted into place: in 64-bit mode only FS and GS count, and 6 or 7 keep whether the default is the stack. */
function segment(cpu: Cpu, dflt: u32): u32 {
  if (cpu.mode & MODE_CS64) {
    if (prefix_seg == 4 || prefix_seg == 5) return prefix_seg << 2;
    return (dflt == 2 ? NO_SEG_STACK : NO_SEG) << 2;
  }
  return (prefix_seg < 8 ? prefix_seg : dflt) << 2;
}

function slot(n: u32, cls: u32): u32 {
  if (cls == CLASS_BYTE) return rex || n < 4 ? n << 3 : ((n - 4) << 3) + 1;
  if (cls == CLASS_XMM) return n << 4;
  if (cls == CLASS_MMX) return (n & 7) << 4;
  return n << 3;
}

// What the last ModRM memory operand gave beside its index slot.
let mem_base: u32 = 0;
let mem_scale: u32 = 0;
let mem_stack: bool = false;
let mem_rip: bool = false;
/** A branch displacement that reaches past 2^31 from the page's start. */
let far_target: bool = false;

/** 32- and 64-bit addressing (SDM vol. 2, tables 2-2 and 2-3); returns the index slot, stores the displacement. */
function mem32(cpu: Cpu, u: usize, modrm: u32, pos: u32): u32 {
  const mod = modrm >>> 6;
  let x: u32 = SLOT_ZERO;
  let base = modrm & 7;
  let disp: i32 = 0;
  mem_scale = 0;
  mem_stack = mem_rip = false;
  if (base == 4) {
    const sib = get8();
    const index = ((sib >>> 3) & 7) | ((rex & 2) << 2);
    if (index != 4) {
      x = index << 3;
      mem_scale = sib >>> 6;
    }
    base = sib & 7;
    if (base == 5 && mod == 0) {
      mem_base = SLOT_ZERO;
      disp = get32();
      store<i32>(u, disp, 8);
      return x;
    }
  } else if (base == 5 && mod == 0) {
    disp = get32();
    mem_base = SLOT_ZERO;
    if (cpu.mode & MODE_CS64) {
      mem_base = SLOT_PAGE;
      mem_rip = true;
    }
    store<i32>(u, disp, 8);
    return x;
  }
  mem_stack = base == 4 || (base == 5 && !(rex & 1));
  if (base == 4 && rex & 1) mem_stack = false;
  mem_base = (base | ((rex & 1) << 3)) << 3;
  if (mod == 1) disp = <i32>(<i8>get8());
  else if (mod == 2) disp = get32();
  store<i32>(u, disp, 8);
  return x;
}

/** The displacement counts from the next instruction, the base slot holds the page: the sum may need 33 bits. */
function rip_relative(u: usize, pos: u32, start: usize, x: u32): u32 {
  const sum = <i64>load<i32>(u, 8) + <i64>pos + <i64>(at - start);
  store<i32>(u, <i32>sum, 8);
  return sum > <i64>i32.MAX_VALUE ? SLOT_PLUS4G : x;
}

/** 16-bit addressing (SDM vol. 2, table 2-1). */
function mem16(u: usize, modrm: u32): u32 {
  const mod = modrm >>> 6;
  const rm = modrm & 7;
  let x: u32 = SLOT_ZERO;
  let disp: i32 = 0;
  mem_scale = 0;
  mem_stack = mem_rip = false;
  switch (rm) {
    case 0:
      mem_base = 3 << 3;
      x = 6 << 3;
      break;
    case 1:
      mem_base = 3 << 3;
      x = 7 << 3;
      break;
    case 2:
      mem_base = 5 << 3;
      x = 6 << 3;
      mem_stack = true;
      break;
    case 3:
      mem_base = 5 << 3;
      x = 7 << 3;
      mem_stack = true;
      break;
    case 4:
      mem_base = 6 << 3;
      break;
    case 5:
      mem_base = 7 << 3;
      break;
    case 6:
      mem_base = 5 << 3;
      mem_stack = true;
      break;
    default:
      mem_base = 3 << 3;
      break;
  }
  if (mod == 0 && rm == 6) {
    mem_base = SLOT_ZERO;
    mem_stack = false;
    disp = <i32>(<i16>get16());
  } else if (mod == 1) disp = <i32>(<i8>get8());
  else if (mod == 2) disp = <i32>(<i16>get16());
  store<i32>(u, disp, 8);
  return x;
}

function immediate(cpu: Cpu, u: usize, kind: u32, size: u32, pos: u32, start: usize): void {
  switch (kind) {
    case IMM_B:
      store<i32>(u, <i32>(<i8>get8()), 12);
      break;
    case IMM_W:
      store<i32>(u, <i32>get16(), 12);
      break;
    case IMM_Z:
      store<i32>(u, size == 0 ? <i32>(<i16>get16()) : get32(), 12);
      break;
    case IMM_V:
      if (size == 2) {
        const low = <u64>(<u32>get32());
        store<u64>(u, low | ((<u64>(<u32>get32())) << 32), 8);
      } else store<i32>(u, size == 0 ? <i32>(<i16>get16()) : get32(), 12);
      break;
    case IMM_O: {
      const asize = address_size(cpu);
      let v: u64 = asize == 0 ? <u64>get16() : <u64>(<u32>get32());
      if (asize == 2) v |= (<u64>(<u32>get32())) << 32;
      store<u64>(u, v, 8);
      break;
    }
    case IMM_P: // offset in disp, selector in imm
      store<u32>(u, size == 0 ? get16() : <u32>get32(), 8);
      store<u32>(u, get16(), 12);
      break;
    case IMM_WB: {
      const w = get16();
      store<u32>(u, w | (get8() << 16), 12);
      break;
    }
    case IMM_JB:
    case IMM_JZ: {
      // the target's distance from the page's start; the link field (imm) stays 0
      const rel = kind == IMM_JB ? <i32>(<i8>get8()) : size == 0 ? <i32>(<i16>get16()) : get32();
      const sum = <i64>rel + <i64>pos + <i64>(at - start);
      store<i32>(u, <i32>sum, 8);
      if (sum > <i64>i32.MAX_VALUE) far_target = true;
      break;
    }
    case IMM_ONE:
      store<i32>(u, 1, 12);
      break;
    default:
      break;
  }
}

/** Is the unit that the row needs enabled? */
function units(cpu: Cpu, attrs: u32): bool {
  if (attrs & A_SSE && !(cpu.mode & MODE_SSE)) return false;
  if (attrs & (A_MMX | A_X87) && !(cpu.mode & MODE_X87)) return false;
  return true;
}
