// Dumping a domain: it stands meanwhile, and its pages pass through a window of domain 0's space.
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { XEN_DOMINF_hvm_guest } from '../../spec/abi/constants.ts';
import { XenError } from '../../services/lib/hypercalls.ts';
import type { ControlCalls } from '../../services/xenops/control_calls.ts';
import { ownFrames } from '../../services/xenops/p2m.ts';
import { ERROR, Refused } from '../control/refused.ts';
import { coreFile, type Core } from './core_elf.ts';
import type { Domains } from './domains.ts';

const PAGE = 4096;
/** Frames mapped at once, and where: beside the window through which guests are built. */
const WINDOW = 1024;
const WINDOW_AT = 0x20000;
/** Windows between two turns of others: most of a domain's address space is empty. */
const TURN = 4;

/** The dump's bytes, in order. The domain is paused until the last of them or until the reader leaves. */
export async function* dumpCore(domains: Domains, domid: number): AsyncGenerator<Uint8Array> {
  const { config } = domains.find(domid);
  const { calls } = domains;
  // What the domain is; its configuration may already be another one, for the next time.
  const isPv = (calls.domainInfo(domid).flags & XEN_DOMINF_hvm_guest) === 0;
  calls.pause(domid);
  try {
    const bits = calls.addressSize(domid);
    const { pfns, mfns } = isPv ? pvFrames(calls, domid, bits) : { pfns: await presentFrames(calls, domid) };
    const frames = mfns ?? pfns;
    const shared = calls.domain(domid)?.sharedInfoFrame ?? Infinity;
    const core: Core = {
      contexts: Array.from({ length: config.maxVcpus }, (_, i) => calls.vcpuContext(domid, i, bits)),
      sharedInfo: shared < 2 ** 32 ? readPage(calls, domid, shared) : undefined,
      pfns,
      mfns,
      version: calls.version(),
      bits,
    };
    const { head, tail } = coreFile(core);
    yield head;
    for (let i = 0; i < frames.length; i += WINDOW) {
      yield readPages(calls, domid, frames.slice(i, i + WINDOW));
      await nextTurn();
    }
    yield tail;
  } catch (error) {
    if (error instanceof XenError) throw new Refused(`domain ${domid} cannot be dumped: ${error.message}.`, ERROR.FAIL);
    throw error;
  } finally {
    // It may be gone.
    if (domains.peek(domid)) calls.unpause(domid);
    domains.host.machine.ring();
  }
}

async function presentFrames(calls: ControlCalls, domid: number): Promise<number[]> {
  const end = calls.frames(domid);
  const pfns: number[] = [];
  for (let at = 0, n = 0; at < end; at += WINDOW) {
    const present = calls.mapPresent(domid, (i) => at + i, Math.min(WINDOW, end - at), WINDOW_AT);
    present.forEach((there, i) => there && pfns.push(at + i));
    calls.unmapPresent(WINDOW_AT, present);
    if (++n % TURN === 0) await nextTurn();
  }
  return pfns;
}

function readPages(calls: ControlCalls, domid: number, frames: readonly number[]): Uint8Array {
  const count = frames.length;
  const present = calls.mapPresent(domid, (i) => frames[i]!, count, WINDOW_AT);
  try {
    // One that the domain has lost meanwhile is zero.
    if (present.every(Boolean)) return calls.mailbox.read(WINDOW_AT * PAGE, count * PAGE);
    const out = new Uint8Array(count * PAGE);
    present.forEach((there, i) => there && out.set(calls.mailbox.read((WINDOW_AT + i) * PAGE, PAGE), i * PAGE));
    return out;
  } finally {
    calls.unmapPresent(WINDOW_AT, present);
  }
}

const readPage = (calls: ControlCalls, domid: number, frame: number): Uint8Array => readPages(calls, domid, [frame]);

/** A PV domain's pages, by its own list of them. */
function pvFrames(calls: ControlCalls, domid: number, bits: 32 | 64): { pfns: number[]; mfns: number[] } {
  const read = (mfn: number): Uint8Array | undefined => {
    const present = calls.mapPresent(domid, () => mfn, 1, WINDOW_AT);
    try {
      return present[0] ? calls.mailbox.read(WINDOW_AT * PAGE, PAGE).slice() : undefined;
    } finally {
      calls.unmapPresent(WINDOW_AT, present);
    }
  };
  const frames = ownFrames(calls, domid, read, bits);
  if (!frames)
    throw new Refused(
      `domain ${domid} cannot be dumped: it has not said where its list of frames is (arch_shared_info); its kernel does not support it.`,
      ERROR.FAIL,
    );
  return { pfns: frames.map(({ pfn }) => pfn), mfns: frames.map(({ mfn }) => mfn) };
}

/** Into a file of the host's; half a dump does not stay. */
export async function dumpToFile(domains: Domains, domid: number, path: string): Promise<void> {
  const fd = openSync(path, 'wx', 0o600);
  try {
    for await (const bytes of dumpCore(domains, domid)) writeSync(fd, bytes);
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
}
