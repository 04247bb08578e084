/** Framing of GDB's remote serial protocol ("Overview" of its appendix): `$data#checksum`, acknowledgements, and the interrupt byte. */

export type Received =
  | { kind: 'packet'; data: Buffer }
  /** A packet whose checksum is wrong or that is too long: it is asked for again. */
  | { kind: 'bad' }
  | { kind: 'ack' }
  | { kind: 'nack' }
  /** Ctrl-C. */
  | { kind: 'interrupt' };

const START = 0x24; // $
const END = 0x23; // #
const ESCAPE = 0x7d; // }
const ESCAPED = 0x20;
/** In data these stand for something else unless escaped; `*` would begin a run length. */
const SPECIAL = new Set([START, END, ESCAPE, 0x2a]);

/** Data bytes of a packet that is accepted; announced to the debugger. */
export const PACKET_SIZE = 0x4000;

/** Cuts a stream of bytes into packets. Bytes between packets that mean nothing are dropped. */
export class PacketReader {
  #state: 'outside' | 'data' | 'high' | 'low' = 'outside';
  #raw = Buffer.alloc(2 * PACKET_SIZE);
  #length = 0;
  #sum = 0;
  #check = '';

  read(bytes: Uint8Array): Received[] {
    const out: Received[] = [];
    for (const byte of bytes) {
      const received = this.#byte(byte);
      if (received) out.push(received);
    }
    return out;
  }

  #byte(byte: number): Received | undefined {
    // Nothing but a packet's start holds an unescaped $.
    if (byte === START) {
      this.#state = 'data';
      this.#length = this.#sum = 0;
      return undefined;
    }
    switch (this.#state) {
      case 'outside':
        return outside(byte);
      case 'data':
        if (byte === END) this.#state = 'high';
        else {
          this.#sum = (this.#sum + byte) & 0xff;
          // Too long: counted on, so that it is refused when it ends.
          if (this.#length < this.#raw.length) this.#raw[this.#length] = byte;
          this.#length++;
        }
        return undefined;
      case 'high':
        this.#check = String.fromCharCode(byte);
        this.#state = 'low';
        return undefined;
      case 'low':
        this.#state = 'outside';
        return this.#packet(this.#check + String.fromCharCode(byte));
    }
  }

  #packet(check: string): Received {
    const right = /^[0-9a-f]{2}$/i.test(check) && parseInt(check, 16) === this.#sum;
    if (!right || this.#length > this.#raw.length) return { kind: 'bad' };
    const data = Buffer.alloc(this.#length);
    let n = 0;
    for (let i = 0; i < this.#length; i++) {
      const byte = this.#raw[i]!;
      data[n++] = byte === ESCAPE && i + 1 < this.#length ? this.#raw[++i]! ^ ESCAPED : byte;
    }
    return { kind: 'packet', data: data.subarray(0, n) };
  }
}

function outside(byte: number): Received | undefined {
  if (byte === 0x2b) return { kind: 'ack' };
  if (byte === 0x2d) return { kind: 'nack' };
  return byte === 3 ? { kind: 'interrupt' } : undefined;
}

/** A packet around `data` (text: one byte a character). */
export function packet(data: string | Uint8Array): Buffer {
  const from = typeof data === 'string' ? Buffer.from(data, 'latin1') : data;
  const body: number[] = [];
  for (const byte of from) {
    if (SPECIAL.has(byte)) body.push(ESCAPE, byte ^ ESCAPED);
    else body.push(byte);
  }
  const sum = body.reduce((total, byte) => (total + byte) & 0xff, 0);
  return Buffer.from([START, ...body, END, ...Buffer.from(sum.toString(16).padStart(2, '0'))]);
}
