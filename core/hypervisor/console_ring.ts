// The hypervisor's console: a ring of text that XEN_SYSCTL_readconsole reads. The hypervisor's own sentences begin with (XEN), what a
// domain writes with (dN). All of it under the log's lock, since a guest's port writes come without the host's.
import { HOST_BASE } from '../engine/layout';
import { CON_RING_SIZE, host, Host, HOST_TEXT } from '../shared/host';
import { lock_acquire, lock_release } from '../shared/lock';
import { CON_TEXT_AT } from './console_text';

const LOCK: usize = HOST_BASE + offsetof<Host>('log_lock');
const TEXTS: usize = HOST_TEXT + CON_TEXT_AT;
const NEWLINE: u8 = 10;
/** Owner of a line of the hypervisor's own; above every domain's number. */
const CON_OWN: u32 = 0x10000;

function put(c: u8): void {
  const h = host();
  store<u8>(<usize>h.con_ring + (h.con_prod & (CON_RING_SIZE - 1)), c);
  h.con_prod++;
  if (h.con_prod - h.con_cons > CON_RING_SIZE) h.con_cons = h.con_prod - CON_RING_SIZE;
}

function put_number(v: u64, base: u64): void {
  let unit: u64 = 1;
  while (v / unit >= base) unit *= base;
  for (; unit; unit /= base) {
    const digit = <u8>((v / unit) % base);
    put(digit < 10 ? digit + 48 : digit + 87);
  }
}

function put_text(p: usize): void {
  for (let c = load<u8>(p); c; c = load<u8>(++p)) put(c);
}

/** Begin a line of `owner` if the ring is not in the middle of one of his. */
function line(owner: u32): void {
  const h = host();
  if (h.con_line == owner + 1) return;
  if (h.con_line) put(NEWLINE);
  h.con_line = owner + 1;
  put(40); // (
  if (owner == CON_OWN) {
    put(88); // XEN
    put(69);
    put(78);
  } else {
    put(100); // d
    put_number(owner, 10);
  }
  put(41); // )
  put(32);
}

/** Bytes that a domain wrote. With the log's lock held. Control characters other than the line's end are not for a terminal. */
export function console_guest(domid: u16, from: usize, len: u32): void {
  for (let i: u32 = 0; i < len; i++) {
    const c = load<u8>(from + i);
    if (c == NEWLINE) {
      line(domid);
      put(NEWLINE);
      host().con_line = 0;
    } else if (c >= 32 || c == 9) {
      line(domid);
      put(c < 127 ? c : 63);
    }
  }
}

function argument(i: i32, a: u64, b: u64, c: u64, d: u64, e: u64): u64 {
  return i == 0 ? a : i == 1 ? b : i == 2 ? c : i == 3 ? d : i == 4 ? e : 0;
}

/** A sentence of the hypervisor's own. */
export function printk(code: u32, a: u64 = 0, b: u64 = 0, c: u64 = 0, d: u64 = 0, e: u64 = 0): void {
  lock_acquire(LOCK);
  line(CON_OWN);
  let n = 0;
  // Before the platform has written the texts there are none: an empty line.
  let p = TEXTS + load<u16>(TEXTS + ((<usize>code) << 1));
  for (let ch = load<u8>(p); ch && p > TEXTS; ch = load<u8>(++p)) {
    if (ch != 37) {
      put(ch);
      continue;
    }
    const kind = load<u8>(++p);
    const value = argument(n, a, b, c, d, e);
    n++;
    if (kind == 99) put(<u8>value < 32 || <u8>value > 126 ? 63 : <u8>value);
    else if (kind == 115) put_text(HOST_TEXT + <usize>value);
    else put_number(value, kind == 120 ? 16 : 10);
  }
  put(NEWLINE);
  host().con_line = 0;
  lock_release(LOCK);
}

/** Where read_console went on to, and how much it gave. */
export let console_index: u32 = 0;

/** Up to `room` bytes into `to`, from `index` on if that is still there, else from the oldest. */
export function console_read(index: u32, incremental: bool, to: usize, room: u32): u32 {
  lock_acquire(LOCK);
  const h = host();
  let from = h.con_cons;
  if (incremental && index - from <= h.con_prod - from) from = index;
  let n: u32 = 0;
  for (; n < room && from != h.con_prod; n++, from++)
    store<u8>(to + n, load<u8>(<usize>h.con_ring + (from & (CON_RING_SIZE - 1))));
  console_index = from;
  lock_release(LOCK);
  return n;
}

/** What has been read up to `index` is not shown again. */
export function console_clear(index: u32): void {
  lock_acquire(LOCK);
  const h = host();
  if (index - h.con_cons <= h.con_prod - h.con_cons) h.con_cons = index;
  lock_release(LOCK);
}
