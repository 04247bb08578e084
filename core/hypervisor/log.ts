// The hypervisor's log: a ring of records in shared memory. A record is {u32 size (multiple of 8, header included), u16 type, u16 domid,
// u64 system time} and its payload. Numbers only: the texts are in log_text.ts, so that the core needs no string.
import { HOST_BASE } from '../engine/layout';
import { host, Host } from '../shared/host';
import { lock_acquire, lock_release } from '../shared/lock';
import { console_guest } from './console_ring';
import { LOG_CONSOLE } from './log_codes';
import { system_time } from './time';

const LOCK: usize = HOST_BASE + offsetof<Host>('log_lock');
const HEADER: u32 = 16;
/** A record that fills the rest of the ring up to its end. */
const PAD: u16 = 0;

/** Room for a record: its payload's address, with the lock held. Old records are overwritten. */
function begin(type: i32, domid: u16, len: u32): usize {
  const h = host();
  const size = (HEADER + len + 7) & ~7;
  let at = h.log_head & (h.log_size - 1);
  if (at + size > h.log_size) {
    const p = <usize>h.log_ring + at;
    store<u32>(p, h.log_size - at);
    store<u16>(p, PAD, 4);
    h.log_head += h.log_size - at;
    at = 0;
  }
  const p = <usize>h.log_ring + at;
  store<u32>(p, size);
  store<u16>(p, <u16>type, 4);
  store<u16>(p, domid, 6);
  store<u64>(p, system_time(), 8);
  store<u64>(p + size - 8, 0);
  return p + HEADER;
}

function end(p: usize): void {
  atomic.store<u32>(HOST_BASE + offsetof<Host>('log_head'), host().log_head + load<u32>(p - HEADER));
}

/** Room for a record of `len` bytes, to be filled and closed at once: the log's lock is held until then. */
export function log_open(type: i32, domid: u16, len: u32): usize {
  lock_acquire(LOCK);
  return begin(type, domid, len);
}

export function log_close(p: usize): void {
  end(p);
  lock_release(LOCK);
}

/** A message of the hypervisor's own. */
export function log_message(code: i32, domid: u16, a: u64, b: u64): void {
  const p = log_open(code, domid, 16);
  store<u64>(p, a);
  store<u64>(p, b, 8);
  log_close(p);
}

export const LOG_TEXT_MAX: u32 = 512;

/** Bytes a domain wrote with console_io or to port 0xe9: u16 length, then the bytes. */
export function log_console(domid: u16, from: usize, len: u32): void {
  if (len > LOG_TEXT_MAX) len = LOG_TEXT_MAX;
  const p = log_open(LOG_CONSOLE, domid, len + 2);
  store<u16>(p, <u16>len);
  memory.copy(p + 2, from, len);
  console_guest(domid, from, len);
  log_close(p);
}

export function log_ring(): usize {
  return host().log_ring;
}
export function log_ring_size(): u32 {
  return host().log_size;
}
/** Bytes ever written, a u32 that wraps. */
export function log_head(): u32 {
  return atomic.load<u32>(HOST_BASE + offsetof<Host>('log_head'));
}
