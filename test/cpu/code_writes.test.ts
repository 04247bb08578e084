// Programs that write their own code, against a model that reads the bytes of every instruction: state and memory after every slice.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { instantiate, loadCore, type Core } from '../../platform/core.ts';
import { regionCounts, Regions } from '../../platform/regions.ts';
import { Translator } from '../../platform/translator.ts';
import { createDomain, Service } from '../hypervisor.ts';

const WASM_PAGES = 1400;
const FRAMES = 40;
/** Page tables; code and data beside it; templates. Linear addresses are physical ones, and once more from ALIAS on. */
const [TABLES, CODE, CODE_SIZE, TEMPLATES] = [0x1000, 0x10000, 0x4000, 0x20000];
const ALIAS = 0x40000000;
const [HALT, SHUTDOWN] = [2, 5];
/** Offsets in Cpu (core/arch/x86/cpu.ts). */
const AT = { rip: 176, rflags: 184, retired: 304, cr0: 320, cr3: 336, cr4: 344, efer: 368, segments: 1024 };
const image = loadCore();

type Call = Record<string, (...args: (number | bigint)[]) => number>;

class Vm {
  readonly core: Core;
  readonly x: Call;
  readonly view: DataView;
  readonly bytes: Uint8Array;
  readonly domid: number;
  readonly cpu: number;
  readonly ram: number;
  readonly #translator: Translator;
  readonly #regions: Regions;

  constructor(program: Uint8Array, templates: Uint8Array) {
    const memory = new WebAssembly.Memory({ initial: WASM_PAGES, maximum: 65536, shared: true });
    this.core = instantiate(image.module, memory, () => 0);
    this.x = this.core as unknown as Call;
    assert.equal(this.core.host_init(WASM_PAGES, image.tables.length, 1, 0, 0, 0), 0);
    this.bytes = new Uint8Array(memory.buffer);
    this.view = new DataView(memory.buffer);
    this.bytes.set(image.tables, this.core.host_tables() >>> 0);
    this.core.pcpu_init(0);
    this.core.translator_enable(1);
    this.#translator = new Translator(image.translator, memory);
    this.#regions = new Regions(this.core, memory);
    assert.equal(this.core.service_create(0, 1, 0, 32), 0);
    this.domid = createDomain(new Service({ memory, x: this.x }, 0), FRAMES);
    this.cpu = this.core.domain_cpu(this.domid, 0) >>> 0;
    this.ram = (this.x.domain_frame!(this.domid, 1) >>> 0) - 0x1000;
    this.put(this.ram + TABLES, BigInt(TABLES + 0x1003));
    for (const [i, rights] of [0x83n, 0x83n].entries()) this.put(this.ram + TABLES + 0x1000 + 8 * i, rights);
    this.bytes.set(program, this.ram + CODE);
    this.bytes.set(templates, this.ram + TEMPLATES);
    const state = { rip: CODE, rflags: 2, cr0: 0x80000033, cr3: TABLES, cr4: 0x620, efer: 0xd00 };
    for (const [name, value] of Object.entries(state)) this.put(this.cpu + AT[name as 'rip'], BigInt(value));
    this.put(this.cpu + 144, 1n << 32n); // what decoded code adds: ±4 GiB
    this.put(this.cpu + 152, -(1n << 32n));
    this.view.setUint32(this.cpu + AT.segments + 16 + 4, 0xffffffff, true);
    this.view.setUint16(this.cpu + AT.segments + 16 + 2, 0xa9b, true);
    this.x.cpu_refresh!(this.cpu);
  }

  put(at: number, value: bigint): void {
    this.view.setBigUint64(at, BigInt.asUintN(64, value), true);
  }
  get(at: number): bigint {
    return this.view.getBigUint64(this.cpu + at, true);
  }

  /** Until a slice is over; what it ends at is translated. */
  slice(budget: number): number {
    const why = this.x.cpu_run_for!(this.cpu, budget);
    if (why !== HALT) this.x.region_want!(this.cpu);
    this.#translator.serve((_pcpu, answer) => this.#regions.install(answer));
    this.core.translator_take(0);
    return why;
  }

  /** The hypervisor writes to the guest's memory. */
  write(address: number, value: number): void {
    this.view.setUint32(this.core.debug_buffer() >>> 0, value, true);
    assert.equal(this.core.debug_memory(this.domid, 0, BigInt(address), 4, 1), 4);
  }

  state(): string {
    return state(this.get(AT.rip), (i) => this.get(8 * i));
  }
  code(): Buffer {
    return Buffer.from(this.bytes.slice(this.ram + CODE, this.ram + CODE + CODE_SIZE));
  }
}

const state = (rip: bigint, register: (i: number) => bigint): string =>
  [rip, ...Array.from({ length: 16 }, (_, i) => register(i))].map((v) => v.toString(16)).join(' ');

/** What the programs are made of, instruction by instruction from the bytes that lie there now. */
class Model {
  readonly memory = new Uint8Array(TEMPLATES + 0x1000);
  readonly #view = new DataView(this.memory.buffer);
  readonly #r = new Uint32Array(16);
  #rip = CODE;
  #zero = false;
  retired = 0;

  constructor(program: Uint8Array, templates: Uint8Array) {
    this.memory.set(program, CODE);
    this.memory.set(templates, TEMPLATES);
  }

  #get8(): number {
    return this.memory[this.#rip++]!;
  }
  #get32(): number {
    this.#rip += 4;
    return this.#view.getInt32(this.#rip - 4, true);
  }
  #address(): number {
    this.#rip += 2; // ModRM, SIB
    return this.#get32() & (ALIAS - 1);
  }
  #add(at: number, value: number): void {
    this.#view.setUint32(at, this.#view.getUint32(at, true) + value, true);
  }

  run(until: number): void {
    while (this.retired < until) {
      this.#step();
      this.retired++;
    }
  }

  #step(): void {
    const r = this.#r;
    const op = this.#get8();
    if (OPCODES.includes(op)) return this.#arithmetic(op, this.#get32());
    if (op >= 0xb9 && op <= 0xbf) return void (r[op & 7] = this.#get32());
    switch (op) {
      case 0x90:
      case 0xf4:
        return;
      case 0xb0:
        return void (r[0] = (r[0]! & ~0xff) | this.#get8());
      case 0x88:
        return void (this.memory[this.#address()] = r[0]!);
      case 0x89:
        return this.#view.setUint32(this.#address(), r[0]!, true);
      case 0x48: {
        this.#rip++;
        const at = this.#address();
        this.#view.setUint32(at, r[0]!, true);
        return this.#view.setUint32(at + 4, 0, true);
      }
      case 0x01:
        return this.#add(this.#address(), r[0]!);
      case 0xf0:
        return this.#step();
      case 0x41:
        this.#rip += 2;
        return void (r[8]! += r[0]!);
      case 0xc6:
        return void (this.memory[this.#address()] = this.#get8());
      case 0xf3: {
        const move = this.#get8() === 0xa4;
        for (; r[1]! > 0; r[1]!--, r[7]!++) this.memory[r[7]! & (ALIAS - 1)] = move ? this.memory[r[6]!++]! : r[0]!;
        return;
      }
      case 0xf7:
        this.#rip++;
        return void (this.#zero = (r[3]! & this.#get32()) === 0);
      case 0xff:
        if (this.memory[this.#rip] === 0x04) return this.#add(this.#address(), 1);
        this.#rip++;
        return void (this.#zero = --r[3]! === 0);
      default:
        return this.#jump(op);
    }
  }

  #arithmetic(op: number, n: number): void {
    const r = this.#r;
    if (op === 0x05) r[0]! += n;
    else if (op === 0x0d) r[0]! |= n;
    else if (op === 0x25) r[0]! &= n;
    else if (op === 0x2d) r[0]! -= n;
    else if (op === 0x35) r[0]! ^= n;
  }

  #jump(op: number): void {
    if (op === 0xeb) this.#rip += 1 + this.memory[this.#rip]!;
    else if (op === 0x75) this.#rip += 1 + (this.#zero ? 0 : this.memory[this.#rip]!);
    else if (op === 0xe9 || (op === 0x0f && this.#get8() === 0x85)) {
      const by = this.#get32();
      if (op === 0xe9 || !this.#zero) this.#rip += by;
    } else throw new Error(`opcode ${op.toString(16)} at ${this.#rip.toString(16)}`);
  }

  write(address: number, value: number): void {
    this.#view.setUint32(address, value, true);
  }
  state(): string {
    return state(BigInt(this.#rip), (i) => BigInt(this.#r[i]!));
  }
  code(): Buffer {
    return Buffer.from(this.memory.subarray(CODE, CODE + CODE_SIZE));
  }
}

function random(seed: number): (below: number) => number {
  let s = seed * 0x9e3779b9 + 1;
  return (below) => {
    s = Math.imul(s ^ (s >>> 15), 0x2c1b3c6d);
    s = Math.imul(s ^ (s >>> 12), 0x297a2d39) + 0x6d2b79f5;
    return ((s ^ (s >>> 15)) >>> 0) % below;
  };
}

const le = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
/** ADD, OR, AND, SUB, XOR, CMP of EAX and a number, and one that begins a row of short instructions: MOV AL. */
const OPCODES = [0x05, 0x0d, 0x25, 0x2d, 0x35, 0x3d];
const NUMBERS = 24;

interface Program {
  code: Uint8Array;
  templates: Uint8Array;
  /** Where the numbers of its instructions lie. */
  numbers: number[];
}

/**
 * A loop over cells, about one in `stores` of which writes: to numbers, opcodes and whole instructions of other cells, to data between them;
 * some only every `period`th turn, a power of two. Above 64 only they write to code.
 * It begins near a page's end, so that some instructions lie on two pages.
 */
function program(seed: number, cells: number, turns: number, stores: number, period: number): Program {
  const below = random(seed);
  const out: number[] = [];
  const start = 0x1000 - below(200);
  const numbers: number[] = [];
  const opcodes: number[] = [];
  const loose: number[] = []; // opcodes whose number reads as instructions too
  const data: number[] = [];
  const pairs: number[] = []; // opcodes of an instruction behind which there is another one
  const tails: number[] = []; // the last bytes of a number on the next page
  const lists = [numbers, opcodes, data, loose, pairs, tails];
  const holes: { at: number; kind: number }[] = [];
  const here = (): number => CODE + start + out.length;
  const put = (...bytes: number[]): void => void out.push(...bytes);
  const store = (kind: number, ...head: number[]): void => {
    put(...head);
    holes.push({ at: out.length, kind });
    put(0, 0, 0, 0);
  };
  const writers: (() => void)[] = [
    () => store(2, 0x48, 0x89, 0x04, 0x25), //       mov [data], rax
    () => store(2, 0xff, 0x04, 0x25), //             inc dword [data]
    () => store(0, 0x89, 0x04, 0x25), //             mov [number], eax
    () => store(0, 0x88, 0x04, 0x25), //             mov [number], al
    () => store(0, 0x01, 0x04, 0x25), //             add [number], eax
    () => store(0, 0xf0, 0xff, 0x04, 0x25), //       lock inc dword [number]
    () => (store(1, 0xc6, 0x04, 0x25), put(OPCODES[below(6)]!)), // mov byte [opcode], another
    () => (store(3, 0xc6, 0x04, 0x25), put([0x90, 0xb0, 0x05][below(3)]!)), // one of another length
    () => (store(0, 0xbf), put(0xb9, 1 + below(4), 0, 0, 0, 0xf3, 0xaa)), // mov edi, number; mov ecx, n; rep stosb
    () => store(5, 0x88, 0x04, 0x25), //             mov [tail], al
    () => {
      put(0xbe, ...le(TEMPLATES + 5 * below(NUMBERS - 1))); // the same with two of them
      store(4, 0xbf);
      put(0xb9, 10, 0, 0, 0, 0xf3, 0xa4);
    },
    () => {
      put(0xbe, ...le(TEMPLATES + 5 * below(NUMBERS))); // mov esi, template; mov edi, opcode; mov ecx, 5; rep movsb
      store(1, 0xbf);
      put(0xb9, 5, 0, 0, 0, 0xf3, 0xa4);
    },
  ];
  for (let i = 0; i < cells; i++) {
    if (below(stores) === 0) writers[below(period > 64 ? 2 : writers.length)]!();
    else if (below(stores) === 0) {
      put(0xf7, 0xc3, ...le(period - 1), 0x75, 0); // test ebx, period - 1; jnz behind
      const from = out.length;
      writers[below(writers.length)]!();
      out[from - 1] = out.length - from;
    } else if (below(12) === 0) {
      put(0xeb, 8); // jmp over data
      data.push(here());
      put(...le(below(1 << 30)), ...le(below(1 << 30)));
    } else if (below(8) === 0) {
      loose.push(here());
      put(0x05, 0x90, 0x90, 0x90, 0x90);
    } else if (below(8) === 0)
      put(0x41, 0x01, 0xc0); // add r8d, eax
    else {
      if ((here() & 0xfff) >= 0xfe0 && (here() & 0xfff) < 0xffe) while ((here() & 0xfff) !== 0xffd) put(0x90); // the next page begins in its number
      if (opcodes.at(-1) === here() - 5) pairs.push(here() - 5);
      opcodes.push(here());
      put(OPCODES[below(6)]!);
      numbers.push(here());
      if ((here() & 0xfff) === 0xffe) tails.push(here() + 2);
      put(...le(below(0x7fffffff)));
    }
  }
  if (lists.some((list) => list.length === 0)) return program(seed + 1000, cells, turns, stores, period);
  for (const { at, kind } of holes) {
    const list = lists[kind]!;
    le(list[below(list.length)]! + (below(4) ? 0 : ALIAS)).forEach((byte, i) => (out[at + i] = byte));
  }
  const back = -(out.length + 8);
  put(0xff, 0xcb, 0x0f, 0x85, ...le(back), 0xf4); // dec ebx; jnz start; hlt
  const code = new Uint8Array(CODE_SIZE).fill(0xcc);
  code.set([0xbb, ...le(turns), 0xe9, ...le(start - 10)]); // mov ebx, turns; jmp start
  code.set(out, start);
  const templates = Array.from({ length: NUMBERS }, () => [OPCODES[below(6)]!, ...le(below(0x7fffffff))]);
  return { code, templates: new Uint8Array(templates.flat()), numbers };
}

function same(seed: number, p: Program, budget: number, writes: boolean): number {
  const below = random(seed);
  const vm = new Vm(p.code, p.templates);
  const model = new Model(p.code, p.templates);
  for (let n = 0, why = 0; why !== HALT; n++) {
    why = vm.slice(budget);
    assert.ok(n < 10_000 && why !== SHUTDOWN, `program ${seed}, slice ${n}: it does not come to its end`);
    model.run(Number(vm.get(AT.retired)));
    if (model.memory[Number(vm.get(AT.rip))] === 0xf3) continue; // perhaps between two elements
    assert.equal(vm.state(), model.state(), `program ${seed}, slice ${n}`);
    assert.ok(vm.code().equals(model.code()), `program ${seed}, slice ${n}: memory`);
    if (!writes) continue;
    const [at, value] = [p.numbers[below(p.numbers.length)]!, below(0x7fffffff)];
    for (const one of [vm, model]) one.write(at, value);
  }
  return regionCounts(vm.core, 0).retired;
}

test('code that writes itself all the time', () => {
  for (let seed = 1; seed <= 40; seed++) same(seed, program(seed, 40 + 10 * seed, 40, 2 + (seed % 7), 4), 1000, false);
});

test('code that is written now and then, by itself and by the hypervisor, is translated in between', () => {
  let translated = 0;
  for (let seed = 50; seed < 70; seed++) {
    translated += same(seed, program(seed, 40, 3000, 12, 256), 3001, seed % 2 === 0);
  }
  assert.ok(translated > 100_000, `only ${translated} instructions ran in regions`);
});
