// SERVICEOP_*: the shared ring of a front end (public/io/ring.h), worked on for a service domain. What is taken from the ring is entered into a
// journal in the service's memory, what is answered leaves it, in one step each under the host's lock: whoever continues a service that died in
// the middle finds there exactly what was taken and not answered. The ring is the front end's too: its words are read once, atomically.
import {
  EBADMSG,
  EFAULT,
  EINVAL,
  ENOSYS,
  SERVICEOP_copy,
  SERVICEOP_ring_put,
  SERVICEOP_ring_take,
  service_journal__answer_size,
  service_journal__entries,
  service_journal__entry_size,
  service_journal__port,
  service_journal__req_cons,
  service_journal__ring,
  service_journal__rsp_prod,
  service_journal__sequence,
  service_ring_put__count,
  service_ring_put__journal,
  service_ring_put__list,
  service_ring_put__status,
  service_ring_take__busy,
  service_ring_take__journal,
  service_ring_take__list,
  service_ring_take__max,
  service_ring_take__more,
  service_ring_take__quiet,
  service_ring_take__status,
  service_ring_take__taken,
  service_slot__sequence,
  service_slot__slot,
  sizeof_service_journal,
  sizeof_service_ring_put,
  sizeof_service_ring_take,
  sizeof_service_slot,
} from '../gen/abi';
import { INVALID_MFN, mfn_to_ptr } from '../shared/memory';
import { Domain, domain_is_running } from './domain';
import { evtchn_remote, evtchn_send } from './event_channel';
import { access_gpa, copy_from_guest, copy_to_guest } from './guest_access';
import { hypercall_continue } from './hypercall';
import { p2m_frame, p2m_writable } from './p2m';
import { do_service_copy } from './service_copy';
import { Vcpu, vcpu_arg } from './vcpu';

/** public/io/ring.h: the words before the entries. */
const REQ_PROD: u64 = 0;
const REQ_EVENT: u64 = 4;
const RSP_PROD: u64 = 8;
const RSP_EVENT: u64 = 12;
const ENTRIES_AT: u64 = 64;

const ENTRIES_MAX: u32 = 4096;
const ENTRY_MAX: u32 = 256;
/** Requests or answers in one element, and elements before the hypercall gives way. */
const LIST_MAX: u32 = 512;
const BATCH: u32 = 16;

/** service_ring_take.quiet. */
const QUIET_IF_TAKEN: u32 = 2;

/** In the vCPU's argument area: the element, the journal's head, one slot with its entry. */
const JOURNAL: usize = 64;
const SLOT: usize = 128;

@inline function align8(n: u32): u32 {
  return (n + 7) & ~7;
}

/** The journal at hand, copied and checked: valid within one element. */
let j_at: u64 = 0;
let j_ring: u64 = 0;
let j_entries: u32 = 0;
let j_entry_size: u32 = 0;
let j_answer_size: u32 = 0;
let j_stride: u32 = 0;

export function do_service_op(d: Domain, v: Vcpu, cmd: u32, uop: u64, count: u32): i64 {
  const op = cmd & 0xff;
  if (op == SERVICEOP_copy) return do_service_copy(d, v, cmd, uop, count);
  const size: u32 = op == SERVICEOP_ring_take ? sizeof_service_ring_take : sizeof_service_ring_put;
  if (op != SERVICEOP_ring_take && op != SERVICEOP_ring_put) return -ENOSYS;
  const a = vcpu_arg(v);
  for (let i: u32 = 0; i < count; i++) {
    if (i == BATCH) return hypercall_continue(v, cmd, uop + <u64>i * size, count - i);
    const at = uop + <u64>i * size;
    if (!copy_from_guest(v, a, at, size)) return -EFAULT;
    if (op == SERVICEOP_ring_take) {
      store<u32>(a, 0, service_ring_take__taken);
      store<u32>(a, 0, service_ring_take__more);
      store<u32>(a, 0, service_ring_take__busy);
      store<i32>(a, ring_take(d, a), service_ring_take__status);
    } else store<i32>(a, ring_put(d, a), service_ring_put__status);
    if (!copy_to_guest(v, at, a, size)) return -EFAULT;
  }
  return 0;
}

/** Copy the journal's head to `a` + JOURNAL. 0 or an errno. */
function open_journal(d: Domain, a: usize, at: u64): i32 {
  const j = a + JOURNAL;
  if (!access_gpa(d, at, j, sizeof_service_journal, false)) return -EFAULT;
  j_at = at;
  j_ring = load<u64>(j, service_journal__ring);
  j_entries = load<u32>(j, service_journal__entries);
  j_entry_size = load<u32>(j, service_journal__entry_size);
  j_answer_size = load<u32>(j, service_journal__answer_size);
  if (j_entries == 0 || j_entries > ENTRIES_MAX || j_entries & (j_entries - 1)) return -EINVAL;
  if (j_entry_size == 0 || j_entry_size > ENTRY_MAX || j_answer_size > j_entry_size || j_ring & 0xfff) return -EINVAL;
  j_stride = sizeof_service_slot + align8(j_entry_size);
  return 0;
}

@inline function slot_at(slot: u32): u64 {
  return j_at + sizeof_service_journal + <u64>slot * j_stride;
}
@inline function entry_at(index: u32): u64 {
  return j_ring + ENTRIES_AT + <u64>(index & (j_entries - 1)) * j_entry_size;
}

/** Host address of one of the ring's words, 0 if the ring is not mapped. */
function ring_word(d: Domain, word: u64): usize {
  const mfn = p2m_frame(d, (j_ring + word) >> 12);
  return mfn == INVALID_MFN || !p2m_writable ? 0 : mfn_to_ptr(mfn) + <usize>(word & 0xfff);
}

/** The journal's first free slot from `hint` on; -1: there is none. */
function free_slot(d: Domain, a: usize, hint: u32): i32 {
  for (let i: u32 = 0; i < j_entries; i++) {
    const slot = (hint + i) & (j_entries - 1);
    if (!access_gpa(d, slot_at(slot), a + SLOT, sizeof_service_slot, false)) return -1;
    if (load<u32>(a + SLOT, service_slot__sequence) == 0) return slot;
  }
  return -1;
}

/** Enter the request at ring index `index` as number `sequence` into the journal, and into the caller's list. 0 or an errno. */
function take_one(d: Domain, a: usize, index: u32, sequence: u32, list: u64): i32 {
  const slot = free_slot(d, a, index);
  // More in flight than the ring has entries: the journal is not what ring_take and ring_put have made of it.
  if (slot < 0) return -EINVAL;
  const s = a + SLOT;
  if (!access_gpa(d, entry_at(index), s + sizeof_service_slot, j_entry_size, false)) return -EFAULT;
  store<u32>(s, slot, service_slot__slot);
  store<u32>(s, sequence, service_slot__sequence);
  if (!access_gpa(d, list, s, j_stride, true) || !access_gpa(d, slot_at(slot), s, j_stride, true)) return -EFAULT;
  return 0;
}

/** SERVICEOP_ring_take: everything new, or as much as there is room for. */
function ring_take(d: Domain, a: usize): i32 {
  const j = a + JOURNAL;
  let rc = open_journal(d, a, load<u64>(a, service_ring_take__journal));
  if (rc) return rc;
  const prod_word = ring_word(d, REQ_PROD);
  if (!prod_word) return -EFAULT;
  const list = load<u64>(a, service_ring_take__list);
  let max = load<u32>(a, service_ring_take__max);
  if (max > LIST_MAX) max = LIST_MAX;
  let cons = load<u32>(j, service_journal__req_cons);
  let sequence = load<u32>(j, service_journal__sequence);
  const answered = load<u32>(j, service_journal__rsp_prod);
  let n: u32 = 0;
  let prod = atomic.load<u32>(prod_word);
  while (rc == 0) {
    // Also bounds what follows: at most `entries` requests are in flight.
    if (prod - answered > j_entries || prod - cons > j_entries) {
      rc = -EBADMSG;
      break;
    }
    while (n < max && cons != prod && rc == 0) {
      sequence = sequence + 1 == 0 ? 1 : sequence + 1;
      rc = take_one(d, a, cons, sequence, list + <u64>n * j_stride);
      if (rc) break;
      n++;
      cons++;
    }
    const quiet = load<u32>(a, service_ring_take__quiet);
    if (cons != prod || rc || quiet == 1 || (quiet == QUIET_IF_TAKEN && n > 0)) break;
    // Nothing is left: ask for an event with the next one, and look once more, since it may have come before the front end could see that.
    atomic.store<u32>(prod_word + <usize>REQ_EVENT, cons + 1);
    prod = atomic.load<u32>(prod_word);
    if (prod == cons) break;
  }
  store<u32>(j, cons, service_journal__req_cons);
  store<u32>(j, sequence, service_journal__sequence);
  if (!access_gpa(d, j_at, j, sizeof_service_journal, true)) return -EFAULT;
  store<u32>(a, n, service_ring_take__taken);
  store<u32>(a, cons != prod ? 1 : 0, service_ring_take__more);
  const front = evtchn_remote(d, load<u32>(j, service_journal__port));
  store<u32>(a, front != null && domain_is_running(front) ? 1 : 0, service_ring_take__busy);
  return rc;
}

/** SERVICEOP_ring_put: answers to requests, whose slots become free; the front end is told if it asked for it. */
function ring_put(d: Domain, a: usize): i32 {
  const j = a + JOURNAL;
  let rc = open_journal(d, a, load<u64>(a, service_ring_put__journal));
  if (rc) return rc;
  const prod_word = ring_word(d, RSP_PROD);
  if (!prod_word) return -EFAULT;
  const count = load<u32>(a, service_ring_put__count);
  if (count > LIST_MAX) return -EINVAL;
  const list = load<u64>(a, service_ring_put__list);
  const stride = sizeof_service_slot + align8(j_answer_size);
  const old = load<u32>(j, service_journal__rsp_prod);
  let prod = old;
  for (let i: u32 = 0; i < count && rc == 0; i++) {
    rc = put_one(d, a, prod, list + <u64>i * stride, stride);
    if (rc == 0) prod++;
  }
  if (prod == old) return rc;
  store<u32>(j, prod, service_journal__rsp_prod);
  if (!access_gpa(d, j_at, j, sizeof_service_journal, true)) return -EFAULT;
  atomic.store<u32>(prod_word, prod);
  const event = atomic.load<u32>(prod_word + <usize>(RSP_EVENT - RSP_PROD));
  if (prod - event < prod - old) {
    const sent = evtchn_send(d, load<u32>(j, service_journal__port));
    if (rc == 0) rc = sent;
  }
  return rc;
}

function put_one(d: Domain, a: usize, index: u32, at: u64, stride: u32): i32 {
  const s = a + SLOT;
  if (!access_gpa(d, at, s, stride, false)) return -EFAULT;
  const slot = load<u32>(s, service_slot__slot);
  if (slot >= j_entries) return -EINVAL;
  // The head's words of the journal's slot are read behind the answer, then cleared.
  const t = s + stride;
  if (!access_gpa(d, slot_at(slot), t, sizeof_service_slot, false)) return -EFAULT;
  if (load<u32>(t, service_slot__sequence) == 0) return -EINVAL;
  if (!access_gpa(d, entry_at(index), s + sizeof_service_slot, j_answer_size, true)) return -EFAULT;
  store<u64>(t, 0);
  return access_gpa(d, slot_at(slot), t, sizeof_service_slot, true) ? 0 : -EFAULT;
}
