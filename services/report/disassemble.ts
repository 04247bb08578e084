// One instruction as text, from the same rows the decoder is made of: for crash reports and traces.
import {
  modIgnored,
  opcodesOf,
  rowMatches,
  rows,
  sizeBits,
  type Found,
  type Operand,
  type OperandSize,
  type Row,
} from '../../spec/x86/rows.ts';

export type CodeSize = 16 | 32 | 64;

const byOpcode = new Map<string, Row[]>();
for (const row of rows)
  for (const bytes of opcodesOf(row)) {
    const key = bytes.join(' ');
    if (!byOpcode.has(key)) byOpcode.set(key, []);
    byOpcode.get(key)!.push(row);
  }

const GPR = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'];
const SREG = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];
const SEGMENT_PREFIX: Record<number, string> = {
  0x26: 'es',
  0x2e: 'cs',
  0x36: 'ss',
  0x3e: 'ds',
  0x64: 'fs',
  0x65: 'gs',
};

function register(n: number, bits: number, rex: boolean): string {
  if (bits === 8)
    return n < 4 || (rex && n < 8) ? (n < 4 ? 'acdb'[n] + 'l' : GPR[n] + 'l') : n < 8 ? 'acdb'[n - 4] + 'h' : `r${n}b`;
  if (n >= 8) return `r${n}${bits === 64 ? '' : bits === 32 ? 'd' : 'w'}`;
  return (bits === 64 ? 'r' : bits === 32 ? 'e' : '') + GPR[n];
}

const hex = (n: number | bigint): string => (n < 0 ? `-0x${(-n).toString(16)}` : `0x${n.toString(16)}`);

class Cursor {
  readonly #bytes: Uint8Array;
  at = 0;
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }
  peek(): number {
    const b = this.#bytes[this.at];
    if (b === undefined) throw new RangeError('the bytes end inside the instruction');
    return b;
  }
  u8(): number {
    const b = this.peek();
    this.at++;
    return b;
  }
  /** Signed little-endian integer of `bytes` bytes. */
  int(bytes: number): bigint {
    let v = 0n;
    for (let i = 0; i < bytes; i++) v |= BigInt(this.u8()) << BigInt(8 * i);
    return BigInt.asIntN(8 * bytes, v);
  }
}

interface Context {
  cursor: Cursor;
  rex: number;
  opsize: OperandSize;
  addr: CodeSize;
  segment: string;
  modrm: number;
  /** Text of the rm operand when it is memory. */
  memory: string | null;
  opcode: number;
  rip: bigint;
}

function memory16(c: Context): string {
  const forms = ['bx+si', 'bx+di', 'bp+si', 'bp+di', 'si', 'di', 'bp', 'bx'];
  const mod = c.modrm >> 6;
  const rm = c.modrm & 7;
  if (mod === 0 && rm === 6) return hex(BigInt.asUintN(16, c.cursor.int(2)));
  const d = mod === 0 ? 0n : c.cursor.int(mod);
  return forms[rm] + (d ? (d < 0n ? '' : '+') + hex(d) : '');
}

function memory32(c: Context): string {
  const mod = c.modrm >> 6;
  const parts: string[] = [];
  let base = c.modrm & 7;
  let hasBase = true;
  if (base === 4) {
    const sib = c.cursor.u8();
    const index = ((sib >> 3) & 7) | ((c.rex & 2) << 2);
    base = sib & 7;
    if (base === 5 && mod === 0) hasBase = false;
    if (hasBase) parts.push(register(base | ((c.rex & 1) << 3), c.addr, true));
    if (index !== 4) parts.push(`${register(index, c.addr, true)}*${1 << (sib >> 6)}`);
  } else if (base === 5 && mod === 0) {
    hasBase = false;
    if (c.addr === 64) parts.push('rip');
  } else parts.push(register(base | ((c.rex & 1) << 3), c.addr, true));
  const size = mod === 1 ? 1 : mod === 2 || !hasBase ? 4 : 0;
  const d = c.cursor.int(size);
  if (size && (d || !parts.length))
    return parts.length ? parts.join('+') + (d < 0n ? '' : '+') + hex(d) : hex(BigInt.asUintN(32, d));
  return parts.join('+');
}

function operand(o: Operand, row: Row, c: Context): string {
  const bits = sizeBits(o.size, c.opsize) || 32;
  const reg = ((c.modrm >> 3) & 7) | ((c.rex & 4) << 1);
  const rm = (c.modrm & 7) | ((c.rex & 1) << 3);
  const rex = c.rex !== 0;
  const at = (): string => `${c.segment}[${c.memory}]`;
  switch (o.kind) {
    case 'E':
      return c.memory === null ? register(rm, bits, rex) : at();
    case 'M':
      return at();
    case 'W':
      return c.memory === null ? `xmm${rm}` : at();
    case 'Q':
      return c.memory === null ? `mm${rm & 7}` : at();
    case 'G':
      return register(reg, bits, rex);
    case 'R':
      return register(rm, bits, rex);
    case 'Z':
      return register((c.opcode & 7) | ((c.rex & 1) << 3), bits, rex);
    case 'S':
      return SREG[reg & 7] ?? 'seg?';
    case 'C':
      return `cr${reg}`;
    case 'D':
      return `dr${reg}`;
    case 'V':
      return `xmm${reg}`;
    case 'U':
      return `xmm${rm}`;
    case 'P':
      return `mm${reg & 7}`;
    case 'N':
      return `mm${rm & 7}`;
    case 'I':
      return hex(
        c.cursor.int(
          row.imm?.includes(o.size === 'b' ? 'ib' : 'iw') && 'bw'.includes(o.size)
            ? o.size === 'b'
              ? 1
              : 2
            : bits === 64 && !row.imm?.includes('iv')
              ? 4
              : bits / 8,
        ),
      );
    case 'J': {
      const d = c.cursor.int(o.size === 'b' ? 1 : c.opsize === 16 ? 2 : 4);
      return hex(BigInt.asUintN(64, c.rip + BigInt(c.cursor.at) + d));
    }
    case 'O':
      return `${c.segment}[${hex(BigInt.asUintN(c.addr, c.cursor.int(c.addr / 8)))}]`;
    case 'A': {
      const off = c.cursor.int(c.opsize === 16 ? 2 : 4);
      return `${hex(BigInt.asUintN(16, c.cursor.int(2)))}:${hex(BigInt.asUintN(32, off))}`;
    }
    case 'X':
    case 'Y':
      return o.kind === 'X' ? '[rsi]' : '[rdi]';
    default:
      if (o.code === 'STi') return `st${c.modrm & 7}`;
      return (o.code === 'rAX' || o.code === 'eAX' ? register(0, bits, false) : o.code).toLowerCase();
  }
}

export type Disassemble = (bytes: Uint8Array, code: CodeSize, rip?: bigint) => { text: string; length: number } | null;

/** Text of the instruction at the start of `bytes` and its length; null if the bytes are no instruction or end inside it. */
export function disassemble(bytes: Uint8Array, code: CodeSize, rip = 0n): { text: string; length: number } | null {
  try {
    return decode(new Cursor(bytes.subarray(0, 15)), code, rip);
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

function decode(cursor: Cursor, code: CodeSize, rip: bigint): { text: string; length: number } | null {
  let rex = 0;
  let p66 = false;
  let p67 = false;
  let rep: '' | 'F3' | 'F2' = '';
  let segment = '';
  let lock = '';
  for (;;) {
    const b = cursor.peek();
    if (code === 64 && (b & 0xf0) === 0x40) rex = b;
    else if (b === 0x66) p66 = true;
    else if (b === 0x67) p67 = true;
    else if (b === 0xf2 || b === 0xf3) rep = b === 0xf3 ? 'F3' : 'F2';
    else if (b === 0xf0) lock = 'lock ';
    else if (SEGMENT_PREFIX[b]) segment = code === 64 && b < 0x64 ? segment : `${SEGMENT_PREFIX[b]}:`;
    else break;
    if ((b & 0xf0) !== 0x40 || code !== 64) rex = 0;
    cursor.at++;
  }
  const opcode = [cursor.u8()];
  if (opcode[0] === 0x0f) opcode.push(cursor.u8());
  if (opcode.length === 2 && (opcode[1] === 0x38 || opcode[1] === 0x3a)) opcode.push(cursor.u8());
  const candidates = byOpcode.get(opcode.join(' ')) ?? [];
  const needs = candidates.some((r) => r.modrm || r.fixed);
  const modrm = needs ? cursor.peek() : 0;
  const found: Found = {
    long: code === 64,
    prefix: rep || (p66 ? '66' : ''),
    rexw: (rex & 8) !== 0,
    rexb: (rex & 1) !== 0,
    modrm,
  };
  const row = candidates.find((r) => rowMatches(r, found));
  if (!row) return null;
  const opsize16 = p66 && row.prefix !== '66';
  let opsize: OperandSize = code === 16 ? (opsize16 ? 32 : 16) : opsize16 ? 16 : 32;
  if (code === 64 && (rex & 8 || row.attrs.has('f64') || (row.attrs.has('d64') && !opsize16))) opsize = 64;
  const addr: CodeSize = code === 64 ? (p67 ? 32 : 64) : (code === 32) === p67 ? 16 : 32;
  const c: Context = { cursor, rex, opsize, addr, segment, modrm, memory: null, opcode: opcode.at(-1)!, rip };
  if (row.modrm || row.fixed) cursor.at++;
  if (row.modrm && modrm < 0xc0 && !modIgnored(row)) c.memory = addr === 16 ? memory16(c) : memory32(c);
  const operands = row.operands.map((o) => operand(o, row, c));
  const repeat = rep && (row.attrs.has('rep') || row.attrs.has('repz')) ? (rep === 'F3' ? 'rep ' : 'repnz ') : '';
  const name = row.name.replace(/_.*/, '').toLowerCase();
  return { text: `${lock}${repeat}${name}${operands.length ? ` ${operands.join(', ')}` : ''}`, length: cursor.at };
}
