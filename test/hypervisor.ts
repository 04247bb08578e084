// A host for tests: the hypervisor without an engine, driven by service domains' calls. TypeScript.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { generateAbi } from '../tools/generate/abi.ts';
import { generateCpuPolicy } from '../tools/generate/cpu_policy.ts';

export { random } from './random.ts';
/** Structures as 32-bit code lays them out. */
export { COMPAT_STRUCTS } from '../spec/abi/compat.ts';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const WASM = join(ROOT, 'build/test/hypervisor.wasm');
const FLAGS = [
  '--runtime',
  'stub',
  '--importMemory',
  '--sharedMemory',
  '--initialMemory',
  '1',
  '--maximumMemory',
  '65536',
  '--enable',
  'threads,simd,sign-extension,mutable-globals,nontrapping-f2i,bulk-memory',
  '-O1',
];

/** The numbers of the generated AssemblyScript modules, by name. */
export const N: Record<string, number> = {};
for (const { text } of generateAbi()) {
  for (const [, name, value] of text.matchAll(/^export const (\w+): \w+ = (\S+);$/gm)) N[name] = Number(value);
}

function newest(dir: string): number {
  let t = 0;
  for (const e of readdirSync(join(ROOT, dir), { withFileTypes: true })) {
    const path = `${dir}/${e.name}`;
    if (e.isDirectory()) t = Math.max(t, newest(path));
    else if (e.name.endsWith('.ts') && !e.name.endsWith('.test.ts'))
      t = Math.max(t, statSync(join(ROOT, path)).mtimeMs);
  }
  return t;
}

/** The hypervisor without an engine, from a copy of its source for instance. */
export function compileEntry(entry: string, output: string): void {
  const asc = join(ROOT, 'node_modules/assemblyscript/bin/asc.js');
  execFileSync(process.execPath, [asc, entry, ...FLAGS, '-o', output], { cwd: ROOT, stdio: 'pipe' });
}

function compiled(): Uint8Array<ArrayBuffer> {
  for (const { path, text } of [...generateAbi(), ...generateCpuPolicy()]) {
    const file = join(ROOT, path);
    mkdirSync(dirname(file), { recursive: true });
    if (!existsSync(file) || readFileSync(file, 'utf8') !== text) writeFileSync(file, text);
  }
  if (!existsSync(WASM) || statSync(WASM).mtimeMs < newest('core')) {
    mkdirSync(dirname(WASM), { recursive: true });
    compileEntry(join(ROOT, 'core/hypervisor/test_entry.ts'), WASM);
  }
  return new Uint8Array(readFileSync(WASM));
}

let module: WebAssembly.Module | undefined;

type Exports = Record<string, (...args: (number | bigint)[]) => number>;

export class Machine {
  readonly memory: WebAssembly.Memory;
  readonly x: Exports;
  /** What the host's clock shows, in ns. */
  clock = 0;
  /** Mailboxes whose worker was rung, in turn. */
  readonly woken: number[] = [];
  /** The services' heap. */
  readonly heap = new Uint8Array(0x10000);

  constructor(pages = 2048, flags = 0, image?: WebAssembly.Module) {
    if (!image) module ??= new WebAssembly.Module(compiled());
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: 65536, shared: true });
    const env = {
      memory: this.memory,
      abort: () => {
        throw new Error('abort');
      },
      clock_ns: () => this.clock,
      service_wake: (slot: number) => this.woken.push(slot),
      heap_copy: (ptr: number, at: number, length: number, out: number) => {
        at >>>= 0;
        if (at + length > this.heap.length) return 0;
        const machine = new Uint8Array(this.memory.buffer, ptr >>> 0, length);
        if (out) machine.set(this.heap.subarray(at, at + length));
        else this.heap.set(machine, at);
        return 1;
      },
    };
    this.x = new WebAssembly.Instance(image ?? module!, { env }).exports as unknown as Exports;
    if (this.x.host_init(pages, 4096, 1, flags, 0, 1e18) !== 0) throw new Error('host_init');
  }

  service(domid: number, flags = 0, label = 0, pages = 32): Service {
    const rc = this.x.service_create(domid, flags, label, pages);
    if (rc !== 0) throw new Error(`service_create: ${rc}`);
    return new Service(this, domid);
  }
}

const ENCODED: Record<number, 'setUint8' | 'setUint16' | 'setUint32'> = {
  1: 'setUint8',
  2: 'setUint16',
  4: 'setUint32',
};

/** A service domain as its worker would see it. */
export class Service {
  readonly machine: Pick<Machine, 'memory' | 'x'>;
  readonly domid: number;
  private readonly at: number;

  constructor(machine: Pick<Machine, 'memory' | 'x'>, domid: number) {
    this.machine = machine;
    this.domid = domid;
    this.at = machine.x.service_mailbox(domid) >>> 0;
  }

  private get view(): DataView {
    return new DataView(this.machine.memory.buffer, this.at, 0x1000 + 0x40000);
  }

  private call(op: number, len: number, nr: number, args: bigint[]): bigint {
    const v = this.view;
    v.setUint32(0, op, true);
    v.setUint32(4, len, true);
    v.setUint32(8, nr, true);
    for (let i = 0; i < 5; i++) v.setBigUint64(16 + 8 * i, BigInt.asUintN(64, args[i] ?? 0n), true);
    const rc = this.machine.x.service_call(this.domid);
    if (rc !== 0) throw new Error(`service_call: ${rc}`);
    return v.getBigInt64(56, true);
  }

  hypercall(nr: number, ...args: (number | bigint)[]): number {
    return Number(this.call(1, 0, nr, args.map(BigInt)));
  }

  read(gpa: number, len: number): Uint8Array | null {
    if (this.call(2, len, 0, [BigInt(gpa)]) !== 0n) return null;
    return new Uint8Array(this.machine.memory.buffer, this.at + 0x1000, len).slice();
  }

  write(gpa: number, bytes: Uint8Array): boolean {
    new Uint8Array(this.machine.memory.buffer, this.at + 0x1000, bytes.length).set(bytes);
    return this.call(3, bytes.length, 0, [BigInt(gpa)]) === 0n;
  }

  u32(gpa: number): number {
    return new DataView(this.read(gpa, 4)!.buffer).getUint32(0, true);
  }

  setU32(gpa: number, value: number): void {
    this.write(gpa, new Uint8Array(new Uint32Array([value]).buffer));
  }

  /** Pending ports, which are no longer pending afterwards. */
  events(): number[] {
    const n = Number(this.call(4, 4096, 0, []));
    return [...new Uint32Array(this.machine.memory.buffer.slice(this.at + 0x1000, this.at + 0x1000 + 4 * n))];
  }

  /** Address of the scratch page that argument structures are put on. */
  readonly arg = 0;

  /** Put a structure at `gpa`: fields by the names of the generated offsets, sizes given with the value (`[size, value]`). */
  put(gpa: number, struct: string, fields: Record<string, [number, number | bigint]>): void {
    const bytes = new Uint8Array(N[`sizeof_${struct}`]);
    const v = new DataView(bytes.buffer);
    for (const [name, [size, value]] of Object.entries(fields)) {
      const at = N[`${struct}__${name}`];
      if (at === undefined) throw new Error(`${struct}.${name}`);
      if (size === 8) v.setBigUint64(at, BigInt.asUintN(64, BigInt(value)), true);
      else v[ENCODED[size]](at, Number(value), true);
    }
    if (!this.write(gpa, bytes)) throw new Error('put');
  }

  /** One field of the structure at the scratch page. */
  get(struct: string, field: string, size: 1 | 2 | 4 | 8, signed = false): number {
    const v = new DataView(this.read(this.arg + N[`${struct}__${field}`], size)!.buffer);
    if (size === 8) return Number(v.getBigInt64(0, true));
    if (size === 4) return signed ? v.getInt32(0, true) : v.getUint32(0, true);
    if (size === 2) return signed ? v.getInt16(0, true) : v.getUint16(0, true);
    return v.getUint8(0);
  }

  /** hypercall(nr, op, structure). */
  op(
    hypercall: string,
    op: string,
    struct: string,
    fields: Record<string, [number, number | bigint]>,
    ...more: number[]
  ): number {
    this.put(this.arg, struct, fields);
    return this.hypercall(N[`__HYPERVISOR_${hypercall}`], N[op], this.arg, ...more);
  }
}

const expect = (got: number, wanted: number) => {
  if (got !== wanted) throw new Error(`${got} instead of ${wanted}`);
};

/** A PVH-like domain of `pages` pages from address 0, made by the control domain. Its number. */
export function createDomain(dom0: Service, pages: number, domid = 0): number {
  const D = 16;
  const put = (cmd: string, dom: number, fields: [number, number, number][]) => {
    dom0.put(0, 'xen_domctl', { cmd: [4, N[cmd]], interface_version: [4, 0x15], domain: [2, dom] });
    for (const [at, size, value] of fields) {
      const b = new Uint8Array(8);
      new DataView(b.buffer).setBigUint64(0, BigInt(value), true);
      dom0.write(D + at, b.subarray(0, size));
    }
    return dom0.hypercall(N.__HYPERVISOR_domctl, 0);
  };
  const c = 'xen_domctl_createdomain__';
  expect(
    put('XEN_DOMCTL_createdomain', domid, [
      [N[`${c}flags`], 4, 3],
      [N[`${c}max_vcpus`], 4, 1],
      [N[`${c}max_evtchn_port`], 4, 1023],
      [N[`${c}max_grant_frames`], 4, 32],
      [N[`${c}max_maptrack_frames`], 4, 64],
    ]),
    0,
  );
  const id = new DataView(dom0.read(N.xen_domctl__domain, 2)!.buffer).getUint16(0, true);
  expect(put('XEN_DOMCTL_max_mem', id, [[0, 8, pages * 4]]), 0);
  for (let at = 0; at < pages; ) {
    const n = Math.min(512, pages - at);
    dom0.write(4096, new Uint8Array(new BigUint64Array(Array.from({ length: n }, (_, i) => BigInt(at + i))).buffer));
    const rc = dom0.op('memory_op', 'XENMEM_populate_physmap', 'xen_memory_reservation', {
      extent_start: [8, 4096],
      nr_extents: [8, n],
      domid: [2, id],
    });
    expect(rc, n);
    at += n;
  }
  return id;
}
/** Map frame `gfn` of a domain at frame `at` of the service's. */
export function foreign(s: Service, domid: number, gfn: number, at: number): void {
  s.write(4096, new Uint8Array(new BigUint64Array([BigInt(gfn), BigInt(at)]).buffer));
  const rc = s.op('memory_op', 'XENMEM_add_to_physmap_batch', 'xen_add_to_physmap_batch', {
    domid: [2, 0x7ff0],
    space: [2, 4],
    size: [2, 1],
    u__foreign_domid: [2, domid],
    idxs: [8, 4096],
    gpfns: [8, 4104],
    errs: [8, 4112],
  });
  expect(rc, 0);
  expect(s.u32(4112), 0);
}
export function destroyDomain(dom0: Service, id: number): number {
  dom0.put(0, 'xen_domctl', { cmd: [4, N.XEN_DOMCTL_destroydomain], interface_version: [4, 0x15], domain: [2, id] });
  return dom0.hypercall(N.__HYPERVISOR_domctl, 0);
}
