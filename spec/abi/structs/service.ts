/** Xenolith's own: rings that the hypervisor works on for a service domain, and the journal of what was taken from one (docs/design/services.md). */
import { evtchn_port_t, i32, structs, u32, u64 } from '../layout.ts';

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
    /** Not 0: no event is asked for with the next request, since the caller looks again anyhow. */
    quiet: u32,
    reserved: u32,
  },
  service_ring_put: {
    journal: u64,
    /** service_slot and the answer's bytes, rounded up to 8. */
    list: u64,
    count: u32,
    status: i32,
  },
});
