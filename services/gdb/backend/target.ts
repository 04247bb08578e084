// The guest behind a debugger's session: the core's debug calls on one domain.
import type { Machine } from '../../../platform/machine.ts';
import { CpuState } from '../../report/cpu_state.ts';
import { disassemble } from '../../report/disassemble.ts';
import type { Point, Stop, Target } from '../protocol/session.ts';
import { VcpuRegisters } from './registers.ts';

/** DEBUG_* of core/engine/debug.ts: kinds of points, and reasons of stops. */
const KINDS: Record<Point, number> = { 0: 1, 1: 1, 2: 2, 3: 3, 4: 4 };
const REASONS: readonly Stop['why'][] = ['step', 'break', 'write', 'read', 'access', 'step'];
const MAX_VCPUS = 128;
const PAGE = 4096;
/** Bytes of the longest instruction. */
const LONGEST = 15;
const PATIENCE_MS = 2000;

export class DomainTarget implements Target {
  readonly #machine: Machine;
  readonly #onKill: () => void;
  #domid: number;
  readonly #points = new Map<string, { kind: number; address: bigint; length: number }>();

  constructor(machine: Machine, domid: number, onKill: () => void) {
    this.#machine = machine;
    this.#domid = domid;
    this.#onKill = onKill;
  }

  /** The guest has been started anew, as another domain: the points stay. */
  rebind(domid: number): void {
    this.#domid = domid;
    for (const { kind, address, length } of this.#points.values()) this.#set(kind, address, length, true);
  }

  vcpus(): number[] {
    const { core } = this.#machine;
    const up = Array.from({ length: MAX_VCPUS }, (_, i) => i).filter((i) => core.debug_vcpu_up(this.#domid, i));
    return up.length > 0 ? up : [0];
  }

  describe(vcpu: number): string {
    const { core, memory } = this.#machine;
    const cpu = new CpuState(memory, core.domain_cpu(this.#domid, vcpu) >>> 0);
    const cr0 = cpu.control('cr0');
    const mode = !(cr0 & 1n) ? 'real mode' : `${cpu.codeSize}-bit code`;
    return `${mode}, paging ${cr0 & (1n << 31n) ? 'on' : 'off'}, cpl ${cpu.cpl}, cs base ${cpu.codeBase.toString(16)}`;
  }

  disassemble(vcpu: number, count: number): string[] {
    const { core, memory } = this.#machine;
    const cpu = new CpuState(memory, core.domain_cpu(this.#domid, vcpu) >>> 0);
    const lines: string[] = [];
    for (let rip = cpu.rip; lines.length < count; ) {
      const bytes = this.readMemory(vcpu, rip + (cpu.codeSize === 64 ? 0n : cpu.codeBase), LONGEST);
      const decoded = disassemble(bytes, cpu.codeSize, rip);
      const length = decoded?.length ?? 1;
      const raw = Buffer.from(bytes.subarray(0, length)).toString('hex');
      lines.push(`0x${rip.toString(16)}  ${raw.padEnd(22)}  ${decoded?.text ?? '?'}`);
      if (bytes.length === 0) break;
      rip = BigInt.asUintN(cpu.codeSize, rip + BigInt(length));
    }
    return lines;
  }

  #registers(vcpu: number): VcpuRegisters {
    return new VcpuRegisters(this.#machine.core, this.#machine.memory, this.#domid, vcpu);
  }

  readRegister(vcpu: number, index: number): Uint8Array {
    return this.#registers(vcpu).read(index);
  }

  writeRegister(vcpu: number, index: number, value: Uint8Array): boolean {
    return this.#registers(vcpu).write(index, value);
  }

  readMemory(vcpu: number, address: bigint, length: number): Uint8Array {
    const { core, memory } = this.#machine;
    const parts: Uint8Array[] = [];
    for (let done = 0; done < length; ) {
      const n = Math.min(PAGE, length - done);
      const got = core.debug_memory(this.#domid, vcpu, BigInt.asUintN(64, address + BigInt(done)), n, 0);
      if (got > 0) parts.push(new Uint8Array(memory.buffer, core.debug_buffer() >>> 0, got).slice());
      if (got < n) break;
      done += n;
    }
    return Buffer.concat(parts);
  }

  writeMemory(vcpu: number, address: bigint, bytes: Uint8Array): boolean {
    const { core, memory } = this.#machine;
    for (let done = 0; done < bytes.length; ) {
      const part = bytes.subarray(done, done + PAGE);
      new Uint8Array(memory.buffer, core.debug_buffer() >>> 0, part.length).set(part);
      const to = BigInt.asUintN(64, address + BigInt(done));
      if (core.debug_memory(this.#domid, vcpu, to, part.length, 1) !== part.length) return false;
      done += part.length;
    }
    return true;
  }

  setPoint(point: Point, address: bigint, length: number, on: boolean): boolean {
    const kind = KINDS[point];
    const key = `${kind} ${address} ${length}`;
    if (!on) this.#points.delete(key);
    if (!this.#set(kind, address, length, on)) return false;
    if (on) this.#points.set(key, { kind, address, length });
    return true;
  }

  #set(kind: number, address: bigint, length: number, on: boolean): boolean {
    return this.#machine.core.debug_point(this.#domid, kind, address, length, on ? 1 : 0) === 0;
  }

  resume(actions: readonly { vcpu: number; step: boolean }[]): void {
    const { core } = this.#machine;
    for (const { vcpu, step } of actions) core.debug_release(this.#domid, vcpu, step ? 1 : 0);
    core.debug_go(this.#domid);
    this.#machine.ring();
  }

  interrupt(): void {
    const { core } = this.#machine;
    core.debug_stop(this.#domid);
    // A kick ends guest code within one straight run of instructions; a hypercall is let end.
    const late = performance.now() + PATIENCE_MS;
    const never = new Int32Array(new SharedArrayBuffer(4));
    while (!core.debug_is_still(this.#domid)) {
      if (performance.now() > late) throw new Error(`domain ${this.#domid} does not stop`);
      Atomics.wait(never, 0, 0, 0.05);
    }
  }

  /** Why the guest has stopped by itself since the last call, if it has. */
  poll(): Stop | undefined {
    const { core } = this.#machine;
    const hit = core.debug_hit(this.#domid);
    if (hit < 0) return undefined;
    const address = BigInt.asUintN(64, core.debug_hit_address());
    this.interrupt(); // other vCPUs may be on their way
    return { vcpu: hit & 0xff, why: REASONS[hit >> 8] ?? 'step', address };
  }

  detach(): void {
    for (const { kind, address, length } of this.#points.values()) this.#set(kind, address, length, false);
    this.#points.clear();
    this.resume(this.vcpus().map((vcpu) => ({ vcpu, step: false })));
  }

  kill(): void {
    this.#onKill();
  }
}
