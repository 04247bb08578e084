// What a region's module may touch, read from its bytes. An access is one of three: the state (its address is parameter 0), an entry of the TLB
// in the sequence that makes a pointer of a guest's address, or a pointer that such a sequence has made, for at least as many bytes and
// for writing if it writes. Everything else is refused, and so is whatever this reader does not know.
import { numbers } from '../core_layout.ts';

interface Instruction {
  op: number;
  /** Immediates: index, constant, offset, label. */
  imm: bigint;
  offset: number;
}

const OP = {
  block: 2,
  loop: 3,
  if: 4,
  else: 5,
  end: 0x0b,
  br: 0x0c,
  brTable: 0x0e,
  return: 0x0f,
  call: 0x10,
  select: 0x1b,
} as const;
const [GET, SET, TEE] = [0x20, 0x21, 0x22];
const [SIMD, ATOMIC, MISC] = [0xfd00, 0xfe00, 0xfc00];
const [I32_LOAD, I64_LOAD, I32_CONST, I64_CONST] = [0x28, 0x29, 0x41, 0x42];
const [I32_ADD, I32_AND, I32_GT_U, I64_ADD, I64_AND, I64_SHR_U, I64_NE, WRAP] = [
  0x6a, 0x71, 0x4b, 0x7c, 0x83, 0x88, 0x52, 0xa7,
];

/** Offsets in the Cpu and in an entry of the TLB (core/arch/x86/cpu.ts, core/engine/tlb.ts). */
const CPU_TLB = 256n;
const CPU_SIZE = 4096;
const [TLB_R, TLB_W, TLB_ADDEND] = [0n, 8n, 24n];
/** Bytes of a table of the TLB less those of an entry. */
const { TLB_ENTRIES, TLB_ENTRY_SIZE } = numbers('engine/layout.ts');
export const TLB_MASK = BigInt((TLB_ENTRIES! - 1) * TLB_ENTRY_SIZE!);

/** Bytes accessed, by opcode. */
const LOADS: Record<number, number> = {
  ...{ 0x28: 4, 0x29: 8, 0x30: 1, 0x31: 1, 0x32: 2, 0x33: 2, 0x34: 4, 0x35: 4 },
  ...{ [SIMD]: 16, [SIMD + 0x5c]: 4, [SIMD + 0x5d]: 8 },
};
const STORES: Record<number, number> = { 0x36: 4, 0x37: 8, 0x3c: 1, 0x3d: 2, 0x3e: 4, [SIMD + 0x0b]: 16 };
const EXCHANGES: Record<number, number> = {
  [ATOMIC + 0x49]: 8,
  [ATOMIC + 0x4c]: 1,
  [ATOMIC + 0x4d]: 2,
  [ATOMIC + 0x4e]: 4,
};

class Bytes {
  at = 0;
  readonly bytes: Uint8Array;
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
  byte(): number {
    const b = this.bytes[this.at++];
    if (b === undefined) throw new Error('the module ends early');
    return b;
  }
  leb(signed = false): bigint {
    let [v, shift] = [0n, 0n];
    for (;;) {
      const b = this.byte();
      v |= BigInt(b & 127) << shift;
      shift += 7n;
      if (b < 128) return signed && b & 64 ? v - (1n << shift) : v;
    }
  }
  u32(): number {
    return Number(this.leb());
  }
}

/** The bodies of a module's functions. */
function bodies(module: Uint8Array): Bytes[] {
  const b = new Bytes(module);
  b.at = 8;
  while (b.at < module.length) {
    const id = b.byte();
    const end = b.u32() + b.at;
    if (id !== 10) {
      b.at = end;
      continue;
    }
    return Array.from({ length: b.u32() }, () => {
      const size = b.u32();
      b.at += size;
      return new Bytes(module.subarray(b.at - size, b.at));
    });
  }
  throw new Error('no code');
}

function instruction(b: Bytes): Instruction {
  const offset = b.at;
  let op = b.byte();
  let imm = 0n;
  if (op >= 0xfc) op = (op << 8) + b.u32();
  if (op in LOADS || op in STORES || op in EXCHANGES) {
    b.byte();
    imm = b.leb();
  } else if (op === I32_CONST || op === I64_CONST) imm = b.leb(true);
  else if (op === OP.brTable) for (let n = b.u32() + 1; n > 0; n--) b.u32();
  else if (op === OP.block || op === OP.loop || op === OP.if) {
    if (b.byte() !== 0x40) throw new Error('a block with a type');
  } else if ([OP.br, OP.call, GET, SET, TEE].includes(op)) imm = b.leb();
  else if (op === SIMD + 0x0c || op === SIMD + 0x0d) b.at += 16;
  else if (op >= SIMD + 0x15 && op <= SIMD + 0x22) b.at += 1;
  else if (op === ATOMIC + 3) b.at += 1;
  return { op, imm, offset };
}

/** SIMD operations that take one operand, and that take two. */
const UNARY = new Set(
  '0f 10 11 12 13 14 15 16 18 19 1b 1d 1f 21 4d 53 5e 5f 60 61 62 63 64 67 68 69 6a 74 75 7a 7c 7d 7e 7f 80 81 83 84 87 88 89 8a 94 a0 a1 a3 a4 a7 a8 a9 aa c0 c1 c3 c4 c7 c8 c9 ca e0 e1 e3 ec ed ef f8 f9 fa fb fc fd fe ff'
    .split(' ')
    .map((x) => parseInt(x, 16)),
);

/** How many values an instruction takes and gives; null: none that a region has. */
function arity(op: number): [number, number] | null {
  if (op === OP.select) return [3, 1];
  if (op === OP.call) return [2, 1];
  if (op === I32_CONST || op === I64_CONST || op === SIMD + 0x0c) return [0, 1];
  if (op === ATOMIC + 3) return [0, 0];
  if (op >= MISC && op <= MISC + 7) return [1, 1];
  if (op >= SIMD) return op === SIMD + 0x52 ? [3, 1] : UNARY.has(op - SIMD) ? [1, 1] : [2, 1];
  const within = (from: number, to: number): boolean => op >= from && op <= to;
  if (op === 0x45 || op === 0x50 || within(0x67, 0x69) || within(0x79, 0x7b)) return [1, 1];
  if (within(0x8b, 0x91) || within(0x99, 0x9f) || within(0xa7, 0xc4)) return [1, 1];
  return within(0x46, 0xa6) ? [2, 1] : null;
}

/** Where a value comes from. */
type Value = { kind: 'state' } | { kind: 'pointer'; size: number; write: boolean } | null;

interface Scope {
  op: number;
  height: number;
  pointers: Map<bigint, Value>;
}

/** Numbers of what was found, so that a test can tell that it has seen something. */
export interface Found {
  state: number;
  probes: number;
  neighbours: number;
  accesses: number;
}

class Checker {
  readonly #code: Instruction[] = [];
  readonly #found: Found;
  #stack: Value[] = [];
  #scopes: Scope[] = [];
  #pointers = new Map<bigint, Value>();
  /** Locals that hold a pointer somewhere, and the one that holds the TLB's address. */
  readonly #made = new Set<bigint>();
  #tlb = -1n;
  #at = 0;

  constructor(body: Bytes, found: Found) {
    this.#found = found;
    for (let n = body.u32(); n > 0; n--) {
      body.u32();
      body.byte();
    }
    while (body.at < body.bytes.length) this.#code.push(instruction(body));
  }

  #fail(why: string): never {
    const { op, offset } = this.#code[Math.min(this.#at, this.#code.length - 1)]!;
    throw new Error(`${why} at ${offset} (opcode ${op.toString(16)})`);
  }
  #pop(): Value {
    if (this.#stack.length <= (this.#scopes.at(-1)?.height ?? 0)) this.#fail('the stack is empty');
    return this.#stack.pop()!;
  }

  run(): void {
    this.#scopes.push({ op: OP.block, height: 0, pointers: new Map() });
    while (this.#at < this.#code.length) {
      if (!this.#probe() && !this.#neighbour()) this.#one(this.#code[this.#at]!);
      this.#at++;
    }
    if (this.#scopes.length !== 0) this.#fail('blocks are open');
  }

  /** A pointer some bytes from one that there is: used if both are on one page, else found by a sequence of its own. */
  #neighbour(): boolean {
    const code = this.#code;
    const start = this.#at;
    const near = code[start]!;
    if (near.op !== GET || code[start + 6]?.op !== I32_GT_U || code[start + 7]?.op !== OP.if) return false;
    let at = start + 1;
    const is = (op: number, imm?: bigint): bigint => {
      const i = code[(this.#at = at++)]!;
      if (i.op !== op || (imm !== undefined && i.imm !== imm)) this.#fail('no neighbour');
      return i.imm;
    };
    is(I32_CONST, 4095n), is(I32_AND); // prettier-ignore
    const distance = is(I32_CONST);
    is(I32_ADD);
    const size = 4096 - Number(is(I32_CONST));
    is(I32_GT_U), is(OP.if); // prettier-ignore
    const from = this.#pointers.get(near.imm);
    for (this.#at = at; !this.#probe(); this.#at++) {
      if (code[this.#at]!.op === OP.else || code[this.#at]!.op === OP.end) this.#fail('nothing is found');
      this.#one(code[this.#at]!);
    }
    const pointer = code[this.#at]!.imm;
    const found = this.#pointers.get(pointer);
    if (from?.kind !== 'pointer' || found?.kind !== 'pointer' || found.size !== size || found.write !== from.write)
      this.#fail('another pointer than was asked for');
    at = this.#at + 1;
    is(OP.else), is(GET, near.imm), is(I32_CONST, distance), is(I32_ADD), is(SET, pointer), is(OP.end); // prettier-ignore
    this.#found.neighbours++;
    return true;
  }

  /** From the instruction behind `local.tee address` on: the sequence of `probe` in core/translator/lower.ts, as a whole. */
  #probe(): boolean {
    const code = this.#code;
    const start = this.#at;
    if (code[start]!.op !== TEE || code[start + 1]?.op !== I64_CONST || code[start + 2]?.op !== I64_SHR_U) return false;
    let at = start;
    const address = code[at++]!.imm;
    const is = (op: number, imm?: bigint): bigint => {
      const i = code[at++]!;
      if (i.op !== op || (imm !== undefined && i.imm !== imm)) throw (this.#at = at - 1, new Error(`no probe: ${i.op.toString(16)} ${i.imm} at ${i.offset}`)); // prettier-ignore
      return i.imm;
    };
    is(I64_CONST, 7n), is(I64_SHR_U), is(I64_CONST, TLB_MASK), is(I64_AND), is(WRAP), is(GET, this.#tlb), is(I32_ADD); // prettier-ignore
    const entry = is(TEE);
    const tag = is(I64_LOAD);
    if (tag !== TLB_R && tag !== TLB_W) this.#fail('not a tag');
    is(GET, entry), is(I32_LOAD, TLB_ADDEND), is(SET, entry), is(GET, address); // prettier-ignore
    let size = 1;
    if (code[at]!.imm !== -4096n) {
      size = Number(is(I64_CONST)) + 1;
      is(I64_ADD);
    }
    if (size < 1 || size > 16) this.#fail('a probe of no size');
    is(I64_CONST, -4096n), is(I64_AND), is(I64_NE), is(OP.if); // prettier-ignore
    // the way out: read as ordinary code, and it must not come back
    this.#pop();
    this.#stack.push(null);
    this.#at = at;
    this.#enter(OP.if, 0);
    const depth = this.#scopes.length;
    while (this.#scopes.length >= depth) {
      if (
        this.#code[this.#at]!.op === OP.end &&
        this.#scopes.length === depth &&
        this.#code[this.#at - 1]!.op !== OP.return
      )
        this.#fail('a miss goes on');
      this.#one(this.#code[this.#at]!);
      this.#at++;
    }
    this.#stack.pop();
    at = this.#at;
    is(GET, address), is(WRAP), is(GET, entry), is(I32_ADD); // prettier-ignore
    const pointer = is(SET);
    this.#at = at - 1;
    this.#found.probes++;
    this.#made.add(pointer);
    this.#pointers.set(pointer, { kind: 'pointer', size, write: tag === TLB_W });
    return true;
  }

  #enter(op: number, taken: number): void {
    for (let i = 0; i < taken; i++) this.#pop();
    this.#scopes.push({ op, height: this.#stack.length, pointers: new Map(this.#pointers) });
    // whoever branches here may come without them
    if (op !== OP.if) this.#pointers.clear();
  }

  #one({ op, imm }: Instruction): void {
    const size = LOADS[op] ?? STORES[op] ?? EXCHANGES[op];
    if (size !== undefined) return this.#access(op, Number(imm), size);
    if (op === OP.block || op === OP.loop) return this.#enter(op, 0);
    if (op === OP.if) return this.#enter(op, 1);
    if (op === OP.end) {
      const scope = this.#scopes.pop();
      if (!scope) this.#fail('an end too many');
      this.#stack.length = Math.min(this.#stack.length, this.#scopes.length ? scope.height : this.#stack.length);
      // what an `if` does is done on the way out
      if (scope.op === OP.if) this.#pointers = scope.pointers;
      else this.#pointers.clear();
      return;
    }
    if (op === OP.else) {
      const scope = this.#scopes.at(-1);
      if (scope?.op !== OP.if) this.#fail('an else of nothing');
      this.#stack.length = scope.height;
      this.#pointers = new Map(scope.pointers);
      return;
    }
    if (op === OP.br || op === 0) return;
    if (op === OP.brTable || op === OP.return) return void this.#pop();
    if (op === GET) {
      this.#stack.push(imm === 0n ? { kind: 'state' } : (this.#pointers.get(imm) ?? null));
      return;
    }
    if (op === SET || op === TEE) return this.#set(op, imm);
    const io = arity(op);
    if (!io) this.#fail('an unknown instruction');
    for (let i = 0; i < io[0]; i++) this.#pop();
    for (let i = 0; i < io[1]; i++) this.#stack.push(null);
  }

  #set(op: number, local: bigint): void {
    if (local === 0n || local === this.#tlb || this.#made.has(local)) this.#fail('a local that is not to be written');
    const [address, load] = [this.#code[this.#at - 2], this.#code[this.#at - 1]];
    if (this.#tlb < 0n && load?.op === I32_LOAD && load.imm === CPU_TLB && address?.op === GET && address.imm === 0n)
      this.#tlb = local;
    if (op === SET) this.#pop();
  }

  #access(op: number, offset: number, size: number): void {
    const written = op in STORES || op in EXCHANGES;
    if (op in STORES) this.#pop();
    if (op in EXCHANGES) this.#pop(), this.#pop(); // prettier-ignore
    const address = this.#pop();
    if (!written || op in EXCHANGES) this.#stack.push(null);
    if (address?.kind === 'state') {
      if (offset + size > CPU_SIZE || op in EXCHANGES) this.#fail('outside the state');
      this.#found.state++;
    } else if (address?.kind === 'pointer') {
      if (offset !== 0 || size > address.size || (written && !address.write)) this.#fail('more than was probed');
      this.#found.accesses++;
    } else this.#fail('an address from nowhere');
  }
}

/** Throws when a module's function accesses memory in any other way. */
export function checkModule(module: Uint8Array, found: Found): void {
  const [region, ...others] = bodies(module);
  new Checker(region!, found).run();
  // the high half of a product: it has no memory
  for (const other of others) {
    const none = { state: 0, probes: 0, neighbours: 0, accesses: 0 };
    new Checker(other, none).run();
    if (none.state + none.probes + none.accesses) throw new Error('a helper that accesses memory');
  }
}
