// What a PV guest asks to be forgotten of its vCPUs' translations.
import { EINVAL, ERESTART } from '../../gen/abi';
import { pv_flush, pv_forget, pv_invlpg } from '../../arch/x86/pv/tlb';
import { domain_vcpu } from '../domain';
import { get_long, guest_word } from '../guest_access';
import { Vcpu, vcpu_domain } from '../vcpu';
import { flush_wait } from './flush';

/** Instead of an address: all translations. */
export const ALL_PAGES: u64 = ~0;

export function flush_local(v: Vcpu, va: u64): void {
  if (va == ALL_PAGES) pv_flush(v);
  else pv_invlpg(v, va);
}

/**
 * On every vCPU of the domain, or on those whose bits are set at `bitmap`; -EINVAL: it cannot be read; -ERESTART: another pCPU is not there
 * yet.
 */
export function flush_many(v: Vcpu, everybody: bool, bitmap: u64, va: u64): i32 {
  const d = vcpu_domain(v);
  let elsewhere = false;
  let word: u64 = ~0;
  const bits: u32 = v.compat ? 32 : 64;
  for (let id: u32 = 0; id < d.max_vcpus; id++) {
    if (!everybody && (id & (bits - 1)) == 0) {
      if (!get_long(v, bitmap, id / bits)) return -EINVAL;
      word = guest_word;
    }
    if (!((word >> (id & (bits - 1))) & 1)) continue;
    const other = domain_vcpu(d, id);
    if (other == null) continue;
    if (other == v) flush_local(v, va);
    else if (other.pcpu != v.pcpu) elsewhere = true;
    else if (va == ALL_PAGES) pv_forget(other);
    else pv_invlpg(other, va);
  }
  return elsewhere && !flush_wait() ? -ERESTART : 0;
}
