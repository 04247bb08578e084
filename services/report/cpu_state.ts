// Reading a vCPU's structures for reports. Offsets as in core/arch/x86/cpu.ts and core/hypervisor/vcpu.ts.
import type { CodeSize } from './disassemble.ts';

const CPU = {
  lfr: 160,
  lfc: 168,
  rip: 176,
  rflags: 184,
  mode: 296,
  cpl: 292,
  retired: 304,
  tlbFills: 840,
  tlbFlushes: 848,
  tlbPageFlushes: 856,
  codeBase: 200,
  cr0: 320,
  cr2: 328,
  cr3: 336,
  cr4: 344,
  efer: 368,
  segments: 1024,
};
const VCPU_OFFSET = 4096;
const HISTORY = VCPU_OFFSET + 1536;
const HISTORY_ENTRIES = 16;
const MODE_CS64 = 1;
const MODE_CS32 = 2;

export const REGISTERS = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');

export interface HypercallRecord {
  nr: number;
  args: bigint[];
  result: bigint;
}

export class CpuState {
  readonly #view: DataView;
  readonly #at: number;

  constructor(memory: WebAssembly.Memory, cpu: number) {
    this.#view = new DataView(memory.buffer);
    this.#at = cpu;
  }

  #u64(offset: number): bigint {
    return this.#view.getBigUint64(this.#at + offset, true);
  }

  register(n: number): bigint {
    return this.#u64(8 * n);
  }
  get rip(): bigint {
    return this.#u64(CPU.rip);
  }
  get cpl(): number {
    return this.#view.getUint32(this.#at + CPU.cpl, true);
  }
  get retired(): bigint {
    return this.#u64(CPU.retired);
  }
  /** Entries made in the software TLB; sets of them, and pages, that were forgotten. */
  get tlb(): { fills: number; flushes: number; pageFlushes: number } {
    const [fills, flushes, pageFlushes] = [CPU.tlbFills, CPU.tlbFlushes, CPU.tlbPageFlushes].map((o) =>
      Number(this.#u64(o)),
    );
    return { fills: fills!, flushes: flushes!, pageFlushes: pageFlushes! };
  }
  get codeSize(): CodeSize {
    const mode = this.#view.getUint32(this.#at + CPU.mode, true);
    return mode & MODE_CS64 ? 64 : mode & MODE_CS32 ? 32 : 16;
  }
  /** Linear address of the code segment's first byte. */
  get codeBase(): bigint {
    return this.#u64(CPU.codeBase);
  }
  control(name: 'cr0' | 'cr2' | 'cr3' | 'cr4' | 'efer'): bigint {
    return this.#u64(CPU[name]);
  }
  /** Selector of ES CS SS DS FS GS LDTR TR. */
  selector(i: number): number {
    return this.#view.getUint16(this.#at + CPU.segments + 16 * i, true);
  }

  /** RFLAGS with the six lazy bits computed (core/arch/x86/flags.ts). */
  get rflags(): bigint {
    const r = this.#u64(CPU.lfr);
    const c = this.#u64(CPU.lfc);
    const cf = c >> 63n;
    let low = Number((r ^ (c >> 8n)) & 0xffn);
    low ^= low >> 4;
    low ^= low >> 2;
    low ^= low >> 1;
    const pf = low & 1 ? 0n : 4n;
    const af = (c & 8n) << 1n;
    const zf = r === 0n ? 0x40n : 0n;
    const sf = ((r >> 63n) ^ ((c >> 16n) & 1n)) << 7n;
    const of = (cf ^ ((c >> 62n) & 1n)) << 11n;
    return this.#u64(CPU.rflags) | cf | pf | af | zf | sf | of;
  }

  /** The last hypercalls, oldest first. */
  hypercalls(ringNext: number): HypercallRecord[] {
    const n = Math.min(ringNext, HISTORY_ENTRIES);
    return Array.from({ length: n }, (_, i) => {
      const at = HISTORY + 64 * ((ringNext - n + i) & (HISTORY_ENTRIES - 1));
      return {
        nr: Number(this.#u64(at)),
        args: [1, 2, 3, 4, 5].map((k) => this.#u64(at + 8 * k)),
        result: BigInt.asIntN(64, this.#u64(at + 48)),
      };
    });
  }

  u32(offset: number): number {
    return this.#view.getUint32(this.#at + offset, true);
  }
  u64(offset: number): bigint {
    return this.#u64(offset);
  }
}
