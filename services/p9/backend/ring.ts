// One ring of a share: requests out of it, as many at a time as are bounded, and answers into it, each when there is room for all of it.
import type { Pumped } from '../../lib/page_service.ts';
import type { ByteRing } from '../../lib/ring_page.ts';
import { HEAD } from '../protocol/codec.ts';
import type { P9Server } from './server.ts';
import type { Turns } from './turns.ts';

/** Requests of a ring that are under way, or whose answers wait for room. */
const MAX_UNDER_WAY = 16;

export interface Rings {
  requests: ByteRing;
  answers: ByteRing;
}

export class ShareRing implements Pumped {
  readonly again = false;
  readonly #rings: Rings;
  readonly #server: P9Server;
  readonly #turns: Turns;
  readonly #schedule: () => void;
  readonly #broken: (why: string) => void;
  /** Of a message of which the rest is not there yet. */
  #size = Buffer.alloc(0);
  #underWay = 0;
  readonly #answers: Buffer[] = [];
  #ended = false;

  constructor(rings: Rings, server: P9Server, turns: Turns, schedule: () => void, broken: (why: string) => void) {
    this.#rings = rings;
    this.#server = server;
    this.#turns = turns;
    this.#schedule = schedule;
    this.#broken = broken;
  }

  end(): void {
    this.#ended = true;
  }

  pump(): boolean {
    if (this.#ended) return false;
    const answered = this.#answer();
    return this.#take() || answered;
  }

  #break(why: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#broken(why);
  }

  #answer(): boolean {
    const ring = this.#rings.answers;
    let put = false;
    for (let next = this.#answers[0]; next; next = this.#answers[0]) {
      const used = ring.used();
      if (used === undefined) this.#break('its indexes are impossible');
      if (used === undefined || ring.layout.size - used < next.length) break;
      ring.put(next);
      this.#answers.shift();
      put = true;
    }
    return put;
  }

  #take(): boolean {
    let taken = false;
    while (!this.#ended && this.#underWay + this.#answers.length < MAX_UNDER_WAY) {
      const message = this.#message();
      if (!message) break;
      taken = true;
      this.#underWay++;
      this.#turns.run(() => this.#server.answer(message)).then(
        (answer) => {
          this.#underWay--;
          this.#answers.push(answer);
          if (!this.#ended) this.#schedule();
        },
        (error: Error) => this.#break(error.message),
      ); // prettier-ignore
    }
    return taken;
  }

  /** The next whole message. */
  #message(): Buffer | undefined {
    const ring = this.#rings.requests;
    const used = ring.used();
    if (used === undefined) this.#break('its indexes are impossible');
    if (used === undefined) return undefined;
    let there = used;
    if (this.#size.length === 0) {
      if (there < 4) return undefined;
      this.#size = Buffer.from(ring.take(4) ?? []);
      there -= 4;
    }
    if (this.#size.length < 4) return undefined;
    const size = this.#size.readUInt32LE();
    if (size < HEAD || size > ring.layout.size) {
      this.#break(`a message cannot have ${size} bytes`);
      return undefined;
    }
    if (there < size - 4) return undefined;
    const message = Buffer.concat([this.#size, ring.take(size - 4) ?? new Uint8Array(0)]);
    this.#size = Buffer.alloc(0);
    if (message.length === size) return message;
    this.#break('its indexes are impossible');
    return undefined;
  }
}
