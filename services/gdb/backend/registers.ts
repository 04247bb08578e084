// A stopped vCPU's registers, where the core keeps them (core/arch/x86/cpu.ts; services/gdb/backend/layout.test.ts holds the offsets).
import type { Core } from '../../../platform/core.ts';
import { REGISTERS } from '../protocol/registers.ts';

export const CPU = {
  base_fs: 224,
  base_gs: 232,
  rip: 176,
  cr0: 320,
  cr2: 328,
  cr3: 336,
  cr4: 344,
  efer: 368,
  segments: 1024,
  fcw: 1152,
  fsw: 1154,
  ftw: 1156,
  fop: 1158,
  fip: 1160,
  fdp: 1168,
  mxcsr: 1176,
  fcs: 1180,
  fds: 1182,
  fpr: 1184,
  xmm: 1312,
};
/** In the order of the core's register slots. */
const GENERAL = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');
const SEGMENTS = 'es cs ss ds fs gs'.split(' ');
const FPR_SIZE = 16;
const MXCSR_BITS = 0xffff;

/** Where a register is plain memory that may be written: offset in the vCPU's Cpu. */
function place(name: string, top: number): number | undefined {
  const general = GENERAL.indexOf(name);
  if (general >= 0) return 8 * general;
  if (name === 'rip') return CPU.rip;
  // st(i) counts from the top of the stack.
  if (/^st\d$/.test(name)) return CPU.fpr + FPR_SIZE * ((Number(name.slice(2)) + top) & 7);
  if (/^xmm\d+$/.test(name)) return CPU.xmm + 16 * Number(name.slice(3));
  return undefined;
}

export class VcpuRegisters {
  readonly #core: Core;
  readonly #domid: number;
  readonly #vcpu: number;
  readonly #view: DataView;

  constructor(core: Core, memory: WebAssembly.Memory, domid: number, vcpu: number) {
    this.#core = core;
    this.#domid = domid;
    this.#vcpu = vcpu;
    this.#view = new DataView(memory.buffer, core.domain_cpu(domid, vcpu) >>> 0, 4096);
  }

  get #top(): number {
    return (this.#view.getUint16(CPU.fsw, true) >>> 11) & 7;
  }

  read(index: number): Uint8Array {
    const { name, bits } = REGISTERS[index]!;
    const out = new Uint8Array(bits / 8);
    const at = place(name, this.#top);
    if (at !== undefined) {
      out.set(new Uint8Array(this.#view.buffer, this.#view.byteOffset + at, out.length));
      return out;
    }
    const view = new DataView(out.buffer);
    if (bits === 64) view.setBigUint64(0, this.#wide(name), true);
    else view.setUint32(0, this.#narrow(name), true);
    return out;
  }

  #wide(name: string): bigint {
    if (name === 'fs_base') return this.#view.getBigUint64(CPU.base_fs, true);
    if (name === 'gs_base') return this.#view.getBigUint64(CPU.base_gs, true);
    return this.#view.getBigUint64(CPU[name as 'cr0' | 'cr2' | 'cr3' | 'cr4' | 'efer'], true);
  }

  #narrow(name: string): number {
    const view = this.#view;
    const segment = SEGMENTS.indexOf(name);
    if (segment >= 0) return view.getUint16(CPU.segments + 16 * segment, true);
    switch (name) {
      case 'eflags':
        return Number(this.#core.debug_flags(this.#domid, this.#vcpu) & 0xffffffffn);
      case 'fctrl':
        return view.getUint16(CPU.fcw, true);
      case 'fstat':
        return view.getUint16(CPU.fsw, true);
      case 'ftag':
        return this.#tags();
      case 'fiseg':
        return view.getUint16(CPU.fcs, true);
      case 'fioff':
        return view.getUint32(CPU.fip, true);
      case 'foseg':
        return view.getUint16(CPU.fds, true);
      case 'fooff':
        return view.getUint32(CPU.fdp, true);
      case 'fop':
        return view.getUint16(CPU.fop, true);
      default:
        return view.getUint32(CPU.mxcsr, true);
    }
  }

  /** The tag word as FSTENV makes it of the tags that the processor keeps (SDM vol. 1, 8.1.7): valid, zero, special, empty. */
  #tags(): number {
    const used = this.#view.getUint8(CPU.ftw);
    let word = 0;
    for (let i = 0; i < 8; i++) {
      const at = CPU.fpr + FPR_SIZE * i;
      const significand = this.#view.getBigUint64(at, true);
      const exponent = this.#view.getUint16(at + 8, true) & 0x7fff;
      const normal = exponent !== 0 && exponent !== 0x7fff && significand >> 63n === 1n;
      const tag = !((used >> i) & 1) ? 3 : exponent === 0 && significand === 0n ? 1 : normal ? 0 : 2;
      word |= tag << (2 * i);
    }
    return word;
  }

  /** False: not one that can be changed, or no value for it. */
  write(index: number, value: Uint8Array): boolean {
    const { name } = REGISTERS[index]!;
    const at = place(name, this.#top);
    if (at !== undefined) {
      new Uint8Array(this.#view.buffer, this.#view.byteOffset + at, value.length).set(value);
      return true;
    }
    const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
    switch (name) {
      case 'eflags':
        return this.#core.debug_set_flags(this.#domid, this.#vcpu, BigInt(view.getUint32(0, true))) === 0;
      case 'fs_base':
      case 'gs_base': {
        const which = name === 'gs_base' ? 1 : 0;
        return this.#core.debug_set_base(this.#domid, this.#vcpu, which, view.getBigUint64(0, true)) === 0;
      }
      case 'mxcsr':
        if (view.getUint32(0, true) & ~MXCSR_BITS) return false;
        this.#view.setUint32(CPU.mxcsr, view.getUint32(0, true), true);
        return true;
      case 'fctrl':
        this.#view.setUint16(CPU.fcw, view.getUint16(0, true), true);
        return true;
      default:
        return false;
    }
  }
}
