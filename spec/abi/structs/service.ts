/** Xenolith's own: rings that the hypervisor works on for a service domain, and the journal of what was taken from one (docs/design/services.md). */
import { domid_t, evtchn_port_t, i32, structs, u16, u32, u64 } from '../layout.ts';

export const service = structs({
  /** The journal's head. Behind it a slot for each entry: service_slot and the entry's bytes, rounded up to 8. */
  service_journal: {
    /** Where the ring's pages are in the service's space, one behind the other. */
    ring: u64,
    /** Entries of the ring, a power of two, their size, and the size of an answer in one. */
    entries: u32,
    entry_size: u32,
    answer_size: u32,
    /** Told of answers, if the front end wants to be. */
    port: evtchn_port_t,
    /** The back end's own indices. */
    req_cons: u32,
    rsp_prod: u32,
    /** The last request's number. */
    sequence: u32,
    reserved: u32,
  },
  /** Before each request's bytes, in the journal and in what ring_take gives. */
  service_slot: {
    /** In the journal: the request's number, 0 = the slot is free. In ring_take's list: the slot. In ring_put's: the slot to answer. */
    slot: u32,
    sequence: u32,
  },
  service_ring_take: {
    journal: u64,
    /** Where the requests go: service_slot and the bytes, each rounded up to 8. */
    list: u64,
    /** Room in it. */
    max: u32,
    /** Out: how many were taken; are there more? */
    taken: u32,
    more: u32,
    /** Out: 0 or a negative errno. -EBADMSG: the front end's index cannot be. */
    status: i32,
    /**
     * 0: an event is asked for with the next request. 1: none, since the caller looks again anyhow. 2: none if something was taken, since the caller looks again
     * when it has answered that.
     */
    quiet: u32,
    /** Out: does a vCPU of the front end's run, or could, so that more may be about to come? */
    busy: u32,
  },
  service_ring_put: {
    journal: u64,
    /** service_slot and the answer's bytes, rounded up to 8. */
    list: u64,
    count: u32,
    status: i32,
  },
  /** A stretch of the service's heap, and parts of a front end's granted pages. */
  service_copy: {
    /** service_part, one behind the other. */
    list: u64,
    /** The first part's bytes in the heap; each one's lie behind those of the one before. */
    heap: u32,
    count: u32,
    domid: domid_t,
    /** 0: into the heap; 1: into the granted pages. */
    out: u16,
    /** Out: 0 or a negative errno, and the parts that were copied before. -EINVAL: a part that cannot be; -EACCES: one that is not granted so; -EFAULT: no such stretch of the heap. */
    status: i32,
    done: u32,
    reserved: u32,
  },
  service_part: {
    gref: u32,
    offset: u16,
    length: u16,
  },
});
