// Where control goes next: from a linear address to the micro-op that holds its instruction.
import { break_page, run_alone } from '../arch/x86/breakpoints';
import { Cpu, EXC_NON_CANONICAL, EXIT_EXCEPTION, EXIT_NONE, PACE_FREE, seg, SEG_CS } from '../arch/x86/cpu';
import { raise } from '../arch/x86/exceptions';
import { tlb_fill } from '../arch/x86/mmu/fill';
import { MODE_BREAK, MODE_CODE_KEY, MODE_CS64 } from '../arch/x86/modes';
import {
  FORM_GOTO,
  FORM_PSEUDO_FIRST,
  FORM_PSEUDO_LAST,
  KIND_INDIRECT,
  form_kind,
  form_uses_stack,
} from '../gen/forms';
import { mfn_to_ptr, ptr_to_mfn } from '../shared/memory';
import { ea } from './address';
import { target_seen, targets_attach } from './branch_targets';
import { CodePage, PAGE_OFFSETS, code_at, code_cover, code_epoch, code_page, pseudo } from './code_cache';
import { decode } from './decode';
import { MAX_LENGTH, PCPU_SCRATCH } from './layout';
import { canonical } from './mem';
import { TLB_ADDEND, TLB_CODE, TLB_X, tlb_exec_entry, tlb_pointer, tlb_table } from './tlb';
import { UOP_MEM, UOP_SIZE, reg_get, this_rip, uop_disp, uop_form, uop_m, uop_pos, uop_r, uop_x } from './uop';

let scratch: usize = 0;

export function branch_attach(area: usize): void {
  scratch = area + PCPU_SCRATCH;
  targets_attach(area);
}

/** Where the scratch micro-ops lie that single steps and page-crossing instructions use. */
export function scratch_uops(): usize {
  return scratch + 64;
}

/** Micro-op at linear address `va`; 0 = left: cpu.rip is `va`'s offset, cpu.exit says why. */
export function lookup(cpu: Cpu, va: u64): usize {
  const e = tlb_exec_entry(<usize>cpu.tlb, va);
  if (load<u64>(e, TLB_X) == (va & ~0xfff)) {
    const c = <usize>load<u32>(e, TLB_CODE);
    if (c && changetype<CodePage>(c).mode == (cpu.mode & MODE_CODE_KEY)) {
      const t = <usize>load<u32>(c + PAGE_OFFSETS + (((<usize>va) & 0xfff) << 2));
      if (t) {
        cpu.page_va = va & ~0xfff;
        cpu.code = <u32>c;
        return t;
      }
    }
  }
  return lookup_slow(cpu, va);
}

function lookup_slow(cpu: Cpu, va: u64): usize {
  cpu.rip = va - cpu.base_cs;
  if (!canonical(va)) return <usize>stop(raise(cpu, 13, 0));
  if (!(cpu.mode & MODE_CS64)) {
    cpu.rip &= 0xffffffff;
    if (cpu.rip > <u64>seg(cpu, SEG_CS).limit) return <usize>stop(raise(cpu, 13, 0));
  }
  if (cpu.mode & MODE_BREAK && cpu.pace == PACE_FREE && break_page(cpu, va)) {
    run_alone(cpu);
    return 0;
  }
  const e = tlb_exec_entry(tlb_pointer(tlb_table(cpu)), va);
  // Twice at most: decoding may have to forget all code once.
  for (let i = 0; i < 2; i++) {
    if (load<u64>(e, TLB_X) != (va & ~0xfff)) {
      const r = tlb_fill(cpu, va, 2, tlb_table(cpu));
      if (r == 1) return 0;
      if (r == 2) return <usize>stop(no_memory(cpu));
    }
    const host = <u32>(va & ~0xfff) + load<u32>(e, TLB_ADDEND);
    const page = code_page(cpu, ptr_to_mfn(host));
    store<u32>(e, <u32>changetype<usize>(page), TLB_CODE);
    cpu.page_va = va & ~0xfff;
    cpu.code = <u32>changetype<usize>(page);
    const t = code_at(cpu, page, (<u32>va) & 0xfff);
    if (t) return t;
  }
  return unreachable();
}

/** Nothing is there to execute. Real machines read all ones from such addresses: FF FF is no instruction. */
function no_memory(cpu: Cpu): i32 {
  return raise(cpu, 6, 0);
}

@inline function stop(r: i32): i32 {
  return 0;
}

/** A direct branch whose link is not made yet: target is the page's address + disp (+ 2^32). */
export function branch(cpu: Cpu, u: usize): usize {
  const rel = <i64>uop_disp(u) + <i64>reg_get<u64>(cpu, uop_x(u) & 0xf8);
  if (cpu.mode & MODE_CS64) {
    if (<u64>rel < 4096) {
      const page = changetype<CodePage>(<usize>cpu.code);
      if (page.mode == (cpu.mode & MODE_CODE_KEY)) {
        const t = <usize>load<u32>(changetype<usize>(page) + PAGE_OFFSETS + ((<usize>rel) << 2));
        if (t) {
          store<u32>(u, <u32>t, 12);
          return t;
        }
      }
    }
    const target = cpu.page_va + <u64>rel;
    if (!canonical(target)) return fault_at(cpu, u);
    return lookup(cpu, target);
  }
  const ip = (cpu.page_va + <u64>rel - cpu.base_cs) & (uop_r(u) == 2 ? 0xffff : 0xffffffff);
  return transfer(cpu, u, ip);
}

/** #GP(0) on the branch itself. */
function fault_at(cpu: Cpu, u: usize): usize {
  cpu.uop = <u32>u;
  cpu.rip = this_rip(cpu, u);
  raise(cpu, 13, 0);
  return 0;
}

/** A non-canonical address is #SS(0) when it was an access to the stack, else #GP(0) (SDM vol. 1, 3.3.7.1). */
export function stack_fault(cpu: Cpu, u: usize): void {
  const implicit = form_uses_stack(uop_form(u));
  const operand = (uop_m(u) & UOP_MEM) != 0 && (!implicit || cpu.cr2_candidate == ea(cpu, u));
  cpu.exc_flags &= ~EXC_NON_CANONICAL;
  if (operand ? ((uop_m(u) >>> 2) & 7) == 6 : implicit) cpu.exc_vector = 12;
}

/** A branch body leaves with the exception that its access has raised. */
export function fault_branch(cpu: Cpu, u: usize): usize {
  cpu.uop = <u32>u;
  cpu.rip = this_rip(cpu, u);
  if (cpu.exit == EXIT_EXCEPTION && cpu.exc_flags & EXC_NON_CANONICAL) stack_fault(cpu, u);
  return 0;
}

/** Eval.target_ok outside its fast case. */
export function target_ok_slow(cpu: Cpu, u: usize, t: u64): bool {
  if (cpu.mode & MODE_CS64 ? canonical(t) : t <= <u64>seg(cpu, SEG_CS).limit) return true;
  fault_at(cpu, u);
  return false;
}

/** An indirect branch to offset `target` in CS. */
export function indirect(cpu: Cpu, u: usize, target: u64): usize {
  // where it leads is a hint to the translator: the micro-op has no immediate
  const distance = <i32>(target - cpu.page_va);
  if (load<i32>(u, 12) != distance) {
    store<i32>(u, distance, 12);
    if (form_kind(uop_form(u)) == KIND_INDIRECT) target_seen(u, distance);
  }
  return indirect_quiet(cpu, u, target);
}

/** The same for a micro-op that has one. */
export function indirect_quiet(cpu: Cpu, u: usize, target: u64): usize {
  if (cpu.mode & MODE_CS64) {
    if ((target & ~0xfff) == cpu.page_va) {
      const page = changetype<CodePage>(<usize>cpu.code);
      const t = <usize>load<u32>(changetype<usize>(page) + PAGE_OFFSETS + (((<usize>target) & 0xfff) << 2));
      if (t && page.mode == (cpu.mode & MODE_CODE_KEY)) return t;
    }
    return lookup(cpu, target);
  }
  return transfer(cpu, u, target);
}

function transfer(cpu: Cpu, u: usize, ip: u64): usize {
  if (ip > <u64>seg(cpu, SEG_CS).limit) return fault_at(cpu, u);
  return lookup(cpu, (cpu.base_cs + ip) & 0xffffffff);
}

// What FORM_CROSS keeps, in the place of a micro-op: the second code page and its edition. The instruction's micro-op comes behind, then the
// one that leads on.
const KEPT_PAGE: usize = 0;
const KEPT_EDITION: usize = 4;

/**
 * An instruction that lies on two pages: what was decoded last holds as long as the second page is mapped to the same frame and the bytes there
 * are the same. Returns the micro-op to run, or 0 with a fault of the second page pending.
 */
export function cross(cpu: Cpu, u: usize): usize {
  const kept = <usize>uop_disp(u);
  const next = cpu.page_va + 4096;
  const e = tlb_exec_entry(<usize>cpu.tlb, next);
  const second = <usize>load<u32>(kept, KEPT_PAGE);
  if (
    second &&
    load<u64>(e, TLB_X) == next &&
    load<u32>(e, TLB_CODE) == <u32>second &&
    changetype<CodePage>(second).edition == load<u32>(kept, KEPT_EDITION)
  )
    return kept + UOP_SIZE;
  return cross_slow(cpu, u, next);
}

function cross_slow(cpu: Cpu, u: usize, next: u64): usize {
  cpu.rip = this_rip(cpu, u);
  if (!canonical(next)) {
    raise(cpu, 13, 0);
    return 0;
  }
  const e = tlb_exec_entry(tlb_pointer(tlb_table(cpu)), next);
  if (load<u64>(e, TLB_X) != next) {
    const r = tlb_fill(cpu, next, 2, tlb_table(cpu));
    if (r == 1) return 0;
    if (r == 2) {
      no_memory(cpu);
      return 0;
    }
  }
  const tail = <usize>(<u32>next + load<u32>(e, TLB_ADDEND));
  const epoch = code_epoch;
  const second = code_page(cpu, ptr_to_mfn(tail));
  if (epoch != code_epoch) return lookup(cpu, cpu.rip + cpu.base_cs); // all is forgotten, `u` too
  store<u32>(e, <u32>changetype<usize>(second), TLB_CODE);
  return cross_decode(cpu, u, second, tail);
}

function cross_decode(cpu: Cpu, u: usize, second: CodePage, tail: usize): usize {
  const pos = uop_pos(u);
  const kept = <usize>uop_disp(u);
  const first = 4096 - pos;
  code_cover(second, 0);
  memory.copy(scratch, mfn_to_ptr(changetype<CodePage>(<usize>cpu.code).mfn) + pos, first);
  memory.copy(scratch + first, tail, 16);
  const length = decode(cpu, scratch, 16 + first, pos, kept + UOP_SIZE);
  // what is no instruction depends on all bytes that could be one
  const form = uop_form(kept + UOP_SIZE);
  const real = form < FORM_PSEUDO_FIRST || form > FORM_PSEUDO_LAST;
  const used = (real ? length : MAX_LENGTH) - first;
  if (second.head < used) second.head = used;
  store<u32>(kept, <u32>changetype<usize>(second), KEPT_PAGE);
  store<u32>(kept, second.edition, KEPT_EDITION);
  pseudo(kept + 2 * UOP_SIZE, FORM_GOTO, pos, pos + length);
  return kept + UOP_SIZE;
}
