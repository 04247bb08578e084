// The parser of instruction rows, and the reference of their syntax.
//
// A row is a string of four columns, `opcode | name | operands | attributes`, in the notation of the manuals.
//
// Opcode column, in order:
//   NP 66 F3 F2      mandatory prefix. NP: none of 66, F3, F2 present. 66: present without F3 and F2. F3, F2: that one is the last
//                    of the two, and 66 keeps its meaning of operand size. No prefix written: any prefix may be present; 66 is the operand
//                    size, F3 and F2 repeat a string instruction (rep, repz) and are ignored elsewhere
//   0F 38 F0         opcode bytes with their escapes. After 0F 01 and D8..DF one more byte >= C0 is a fixed ModRM byte
//   +r               the low three bits of the last byte (with REX.B) name a register: operand Z
//   +i               after a fixed ModRM byte: its low three bits are ST(i)
//   /r  /0../7       a ModRM byte; its reg field is an operand, or extends the opcode
//   mem, reg         only the memory form, only the register form
//   ib iw iz iv io ip   immediates: byte, word, 16 or 32 by operand size (z), 16, 32 or 64 (v), address-sized (o), far pointer (p)
// Name: the semantics body, the manual's mnemonic; a suffix where a variant needs another body (MOV_moffs, CALL_rm, MOVSD_x).
// Operands, kind and size; a ModRM row whose only operands are R, C and D and that says neither mem nor reg ignores ModRM.mod:
//   A  far pointer in the instruction         M  memory, by ModRM                  S  segment register in ModRM.reg
//   C  control register in ModRM.reg          N  MMX register in ModRM.rm          U  XMM register in ModRM.rm
//   D  debug register in ModRM.reg            O  memory, its address in the code   V  XMM register in ModRM.reg
//   E  general register or memory by ModRM    P  MMX register in ModRM.reg         W  XMM register or memory by ModRM
//   G  general register in ModRM.reg          Q  MMX register or memory by ModRM   X  memory at seg:rSI, DS unless overridden
//   I  immediate, sign-extended to the        R  general register in ModRM.rm      Y  memory at ES:rDI
//      operand size                           J  branch displacement               Z  register in the opcode
//   AL CL DX 1 ES CS SS DS FS GS XMM0 ST0 STi  fixed operands; rAX: accumulator of size v, eAX: of size z
// Sizes: b 8, w 16, d 32, q 64, t 80 bits; v 16, 32 or 64 by operand size; z 16 or 32; y 32 or 64; dq, ps, pd 128; ss 32, sd 64;
//   p far pointer of 16 bits and an offset of size v; a two of size v (BOUND); s limit and base (LGDT); none: not read as a whole (LEA, FXSAVE)
// Attributes:
//   lock     LOCK is allowed when the destination is memory
//   rep repz a string instruction that F3 repeats; repz: F3 while equal, F2 while not equal
//   v y      the body takes the operand size as its first type though no operand shows it; y: 32 or 64 bits only
//   d64 f64  64-bit default operand size in 64-bit mode (66 makes it 16); fixed operand size there
//   o64 i64  exists in 64-bit mode only; is invalid there
//   rexw norexw   needs REX.W set; clear.    rexb norexb   the same for REX.B
//   priv     #GP unless CPL is 0.            iopl          #GP when CPL is above IOPL (for port I/O: unless the TSS's map allows it)
//   br       near branch: the body returns the next micro-op; a displacement's target wraps at the operand size outside 64-bit mode
//   end      ends straight-line decoding: never falls through, or changes what the following bytes mean
//   interp   the body takes Eval only: the translator leaves the region for it
//   sse mmx x87   the unit that must be enabled, else #UD or #NM
//   align    a memory operand must be aligned to 16 bytes, else #GP(0)
//   undef=F,G     flags the manual leaves undefined (CF PF AF ZF SF OF, C0..C3 of the x87), at most: shifts depend on the count as well
import { integer } from './integer.ts';
import { mmx } from './mmx.ts';
import { sse } from './sse.ts';
import { string } from './string.ts';
import { system } from './system.ts';
import { x87 } from './x87.ts';

export type Prefix = '' | 'NP' | '66' | 'F3' | 'F2';
export type Imm = 'ib' | 'iw' | 'iz' | 'iv' | 'io' | 'ip';
export type OperandSize = 16 | 32 | 64;

export interface Operand {
  /** Letter of the operand's kind, or 'fixed'. */
  kind: string;
  /** As written in the row. */
  code: string;
  size: string;
}

export interface Row {
  /** The row's text, for messages. */
  source: string;
  /** Name of the file that holds it. */
  file: string;
  prefix: Prefix;
  /** With escape bytes; a fixed ModRM byte comes last. */
  opcode: readonly number[];
  /** The opcode's last byte stands for eight. */
  plusR: boolean;
  /** The opcode's last byte is a fixed ModRM byte. */
  fixed: boolean;
  /** /digit, or -1. */
  ext: number;
  /** A ModRM byte follows the opcode. */
  modrm: boolean;
  form: 'both' | 'mem' | 'reg';
  /** Immediates, joined by a space (`iw ib`), or null. */
  imm: string | null;
  name: string;
  operands: readonly Operand[];
  attrs: ReadonlySet<string>;
  undef: readonly string[];
}

const FIXED: Record<string, string> = {
  ...{ AL: 'b', CL: 'b', AX: 'w', DX: 'w', '1': '', rAX: 'v', eAX: 'z', XMM0: 'dq', ST0: 't', STi: 't' },
  ...{ ES: 'w', CS: 'w', SS: 'w', DS: 'w', FS: 'w', GS: 'w' },
};
const KINDS = 'ACDEGIJMNOPQRSUVWXYZ';
const SIZES = new Set(['b', 'w', 'd', 'q', 't', 'v', 'z', 'y', 'dq', 'ps', 'pd', 'ss', 'sd', 'p', 'a', 's', '']);
const IN_MODRM_REG = 'CDGPSV';
const IN_MODRM_RM = 'EMNQRUW';
const ATTRIBUTES = new Set(
  'lock rep repz v y d64 f64 o64 i64 rexw norexw rexb norexb priv iopl br end interp sse mmx x87 align'.split(' '),
);
const FLAGS = new Set('CF PF AF ZF SF OF C0 C1 C2 C3'.split(' '));
/** Operand kinds that an immediate of the opcode column belongs to. */
const IMM_KINDS: Record<Imm, string> = { ib: 'IJ', iw: 'I', iz: 'IJ', iv: 'I', io: 'O', ip: 'A' };

function parseOperand(code: string, fail: (why: string) => never): Operand {
  if (code in FIXED) return { kind: 'fixed', code, size: FIXED[code]! };
  const kind = code[0]!;
  const size = code.slice(1);
  if (!KINDS.includes(kind)) fail(`operand ${code}: no kind ${kind}`);
  if (!SIZES.has(size)) fail(`operand ${code}: no size ${size}`);
  if (size === '' && kind !== 'M') fail(`operand ${code} needs a size`);
  return { kind, code, size };
}

function parseOpcode(text: string, fail: (why: string) => never) {
  const out = { prefix: '' as Prefix, opcode: [] as number[], plusR: false, fixed: false };
  const rest = { ext: -1, modrm: false, form: 'both' as Row['form'], imm: [] as Imm[] };
  let words = text.split(/\s+/);
  const second = words[1];
  // 66, F2 and F3 are prefixes in front of another byte, and no opcode starts with them
  if (['NP', '66', 'F3', 'F2'].includes(words[0]!) && second) {
    out.prefix = words[0] as Prefix;
    words = words.slice(1);
  }
  for (const word of words) {
    const byte = /^([0-9A-F]{2})(\+[ri])?$/.exec(word);
    if (byte) {
      if (out.plusR || rest.modrm) fail(`${word} after the opcode's end`);
      const value = parseInt(byte[1]!, 16);
      const before = out.opcode.map((x) => x.toString(16)).join(' ');
      if (/^(f 1|d[89a-f])$/.test(before)) {
        if (value < 0xc0) fail(`${word} cannot be a fixed ModRM byte`);
        out.fixed = true;
      }
      if (!out.fixed && out.opcode.length && !/^f( 3[8a])?$/.test(before)) fail(`${word} after a whole opcode`);
      out.opcode.push(value);
      if (byte[2]) {
        if ((byte[2] === '+i') !== out.fixed || value & 7) fail(`${word} does not stand for eight bytes`);
        out.plusR = true;
      }
    } else if (/^\/[r0-7]$/.test(word)) {
      if (rest.modrm || out.fixed || out.plusR || !out.opcode.length) fail(`${word} is out of place`);
      rest.modrm = true;
      if (word !== '/r') rest.ext = Number(word[1]);
    } else if (word === 'mem' || word === 'reg') {
      if (!rest.modrm || rest.form !== 'both') fail(`${word} is out of place`);
      rest.form = word;
    } else if (word in IMM_KINDS) rest.imm.push(word as Imm);
    else fail(`what is ${word}?`);
  }
  if (!out.opcode.length) fail('no opcode');
  return { ...out, ...rest };
}

/** Parses one row; an error names the row. */
export function parseRow(source: string, file = ''): Row {
  const fail = (why: string): never => {
    throw new Error(`${file ? file + ': ' : ''}row '${source}': ${why}`);
  };
  const columns = source.split('|').map((c) => c.trim());
  if (columns.length !== 4) fail(`${columns.length} columns, not 4`);
  const [opcodeText, name, operandText, attrText] = columns as [string, string, string, string];
  if (!/^[A-Z][A-Za-z0-9_]*$/.test(name)) fail(`bad name '${name}'`);
  const op = parseOpcode(opcodeText, fail);
  const operands = operandText === '' ? [] : operandText.split(',').map((o) => parseOperand(o.trim(), fail));
  const attrs = new Set<string>();
  let undef: string[] = [];
  for (const attr of attrText.split(/\s+/).filter(Boolean)) {
    if (attr.startsWith('undef=')) {
      undef = attr.slice(6).split(',');
      for (const flag of undef) if (!FLAGS.has(flag)) fail(`no flag ${flag}`);
    } else if (!ATTRIBUTES.has(attr)) fail(`no attribute ${attr}`);
    else attrs.add(attr);
  }
  const { imm, ...opcode } = op;
  const row: Row = { source, file, ...opcode, imm: imm.length ? imm.join(' ') : null, name, operands, attrs, undef };
  checkRow(row, imm, fail);
  return row;
}

function checkRow(row: Row, imm: Imm[], fail: (why: string) => never): void {
  const kinds = row.operands.map((o) => o.kind);
  const among = (set: string) => kinds.filter((k) => set.includes(k)).length;
  if (among(IN_MODRM_RM) > 1 || among(IN_MODRM_REG) > 1) fail('two operands in one field of ModRM');
  if (among(IN_MODRM_RM + IN_MODRM_REG) && !row.modrm) fail('operands in ModRM, but no /r or /digit');
  if (row.ext >= 0 && among(IN_MODRM_REG)) fail('ModRM.reg is opcode and operand');
  if (among('M') && row.form !== 'mem' && row.ext < 0) fail('M needs mem');
  if (among('NU') && row.form !== 'reg') fail('N and U need reg');
  if (among('R') && row.form === 'mem') fail('R has no memory form');
  if (among('EQW') && row.form !== 'both') fail('E, Q and W have both forms: write M, R, N or U');
  const immediates = kinds.filter((k) => 'IJAO'.includes(k));
  if (immediates.length !== imm.length || imm.some((code, i) => !IMM_KINDS[code].includes(immediates[i]!)))
    fail('immediates of the opcode and the operands disagree');
  const { attrs } = row;
  const both = (a: string, b: string) => attrs.has(a) && attrs.has(b) && fail(`${a} and ${b}`);
  for (const [a, b] of [
    ['o64', 'i64'],
    ['d64', 'f64'],
    ['rexw', 'norexw'],
    ['rexb', 'norexb'],
    ['rep', 'repz'],
    ['v', 'y'],
  ] as const)
    both(a, b);
  if (attrs.has('lock') && !'EM'.includes(kinds[0] ?? '-')) fail('lock without a memory destination');
  if (attrs.has('align') && !among('MWQE')) fail('align without a memory operand');
}

/** ModRM.mod is ignored: control and debug register moves. */
export function modIgnored(row: Row): boolean {
  return (
    row.modrm && row.form === 'both' && row.operands.length > 0 && row.operands.every((o) => 'RCD'.includes(o.kind))
  );
}

/** What a decoder has found: enough to choose a row. `prefix` is the last of F3 and F2, else 66, else ''. */
export interface Found {
  long: boolean;
  prefix: '' | '66' | 'F3' | 'F2';
  rexw: boolean;
  rexb: boolean;
  /** The ModRM byte, ignored by rows without one. */
  modrm: number;
}

/** Whether `row`, whose opcode bytes (without a fixed ModRM byte) have matched, is the instruction found. */
export function rowMatches(row: Row, found: Found): boolean {
  const { attrs } = row;
  if (found.long ? attrs.has('i64') : attrs.has('o64')) return false;
  if (row.prefix !== '' && (row.prefix === 'NP' ? '' : row.prefix) !== found.prefix) return false;
  if ((attrs.has('rexw') && !found.rexw) || (attrs.has('norexw') && found.rexw)) return false;
  if ((attrs.has('rexb') && !found.rexb) || (attrs.has('norexb') && found.rexb)) return false;
  if (row.fixed) return (row.plusR ? found.modrm & ~7 : found.modrm) === row.opcode.at(-1);
  if (!row.modrm) return true;
  if (row.ext >= 0 && ((found.modrm >> 3) & 7) !== row.ext) return false;
  return row.form === 'both' || found.modrm >= 0xc0 === (row.form === 'reg');
}

/** Opcode bytes a decoder has to see before ModRM, one list for each byte that `+r` stands for. */
export function opcodesOf(row: Row): number[][] {
  if (row.fixed) return [row.opcode.slice(0, -1)];
  if (!row.plusR) return [[...row.opcode]];
  return [0, 1, 2, 3, 4, 5, 6, 7].map((r) => [...row.opcode.slice(0, -1), row.opcode.at(-1)! + r]);
}

/** Operand sizes among which the row makes a difference in 64-bit or in 32- and 16-bit modes; [] when the size does not matter. */
export function operandSizes(row: Row, long: boolean): OperandSize[] {
  const sizes = new Set(row.operands.map((o) => o.size));
  for (const attr of ['v', 'y']) if (row.attrs.has(attr)) sizes.add(attr);
  const word = ['v', 'z', 'p', 'a'].some((s) => sizes.has(s));
  if (!word && !sizes.has('y') && !sizes.has('s')) return [];
  if (!long) return word ? [16, 32] : [32];
  if (row.attrs.has('f64')) return [64];
  if (row.attrs.has('d64')) return [16, 64];
  if (!word) return [32, 64];
  return ['v', 'y', 'p', 'a'].some((s) => sizes.has(s)) ? [16, 32, 64] : [16, 32];
}

/** Bits of an operand of size code `size` under an operand size; 0 when it has none of its own. */
export function sizeBits(size: string, opsize: OperandSize): number {
  const fixed: Record<string, number> = { b: 8, w: 16, d: 32, q: 64, t: 80, dq: 128, ps: 128, pd: 128, ss: 32, sd: 64 };
  if (size in fixed) return fixed[size]!;
  if (size === 'v') return opsize;
  if (size === 'z') return Math.min(opsize, 32);
  if (size === 'y') return Math.max(opsize, 32);
  if (size === 'p') return opsize + 16;
  if (size === 'a') return 2 * opsize;
  if (size === 's') return 16 + Math.max(opsize, 32);
  return 0;
}

const files: Record<string, readonly string[]> = { integer, string, system, sse, mmx, x87 };

/** All rows, by the file that holds them. */
export const rowFiles: ReadonlyMap<string, readonly Row[]> = new Map(
  Object.entries(files).map(([file, texts]) => [file, texts.map((text) => parseRow(text, file))]),
);

/** All rows. */
export const rows: readonly Row[] = [...rowFiles.values()].flat();
