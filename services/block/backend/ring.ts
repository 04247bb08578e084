// A ring of a block device, at the end where requests are taken: what each is, its bytes, its answer. Runs in the service's worker.
import type { RingAt, Taken } from '../../lib/ring_calls.ts';
import { readRequest, STATUS, type Abi, type Request, type Segment } from '../protocol/blkif.ts';
import type { Device } from './device.ts';

/** What the control side tells of a ring that is ready. */
export interface RingDescription {
  id: number;
  device: number;
  /** The front end's domain. */
  domid: number;
  /** Our end of its event channel. */
  port: number;
  at: RingAt;
  abi: Abi;
}

/** A request under way. */
export interface Pending {
  readonly ring: Ring;
  readonly slot: number;
  readonly request: Request;
  /** Its bytes in the heap, if it has any, and how many they are or will be. */
  heap: number;
  length: number;
  /** Undefined: an indirect request's have not been read. */
  segments: readonly Segment[] | undefined;
  /** It will not be carried out: the status to answer it with. */
  refused: number | undefined;
}

export function setSegments(pending: Pending, segments: readonly Segment[]): void {
  pending.segments = segments;
  pending.length = segments.reduce((sum, { length }) => sum + length, 0);
}

export interface Answer {
  slot: number;
  id: bigint;
  code: number;
  status: number;
}

export class Ring {
  readonly description: RingDescription;
  readonly device: Device;
  /** Answers that are ready. */
  readonly answers: Answer[] = [];
  /** Requests taken and not answered. */
  inFlight = 0;
  /** Given up, or about to go: nothing is taken any more. */
  stopped = false;
  onIdle: (() => void) | undefined;

  constructor(description: RingDescription, device: Device) {
    this.description = description;
    this.device = device;
  }

  /** The request of a journal's or list's slot. */
  read(view: DataView, { slot, at }: Taken): Pending {
    this.inFlight++;
    const request = readRequest(view, at, this.description.abi);
    const refused = request.op === 'unknown' ? EOPNOTSUPP : request.op === 'bad' ? ERROR : undefined;
    const pending: Pending = { ring: this, slot, request, heap: -1, length: 0, segments: undefined, refused };
    if (request.op !== 'indirect') setSegments(pending, 'segments' in request ? request.segments : []);
    return pending;
  }

  answer(pending: Pending, status: number): Answer {
    const { id, code } = pending.request;
    const answer = { slot: pending.slot, id, code, status };
    this.answers.push(answer);
    return answer;
  }

  /** Answers have been put. */
  settled(count: number): void {
    this.inFlight -= count;
    if (this.inFlight === 0) this.onIdle?.();
  }
}

export const { OKAY, ERROR, EOPNOTSUPP } = STATUS;
