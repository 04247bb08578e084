// A client for tests: requests as bytes, answers as what they hold.
import assert from 'node:assert/strict';
import { NO_FID, P9, Writer } from './protocol/codec.ts';
import type { P9Server } from './backend/server.ts';

export class Client {
  readonly server: P9Server;
  #tag = 0;

  constructor(server: P9Server) {
    this.server = server;
  }

  /** The answer's body, or the error's number as a negative one. */
  async call(type: number, body: Writer): Promise<Buffer | number> {
    const tag = (this.#tag = (this.#tag + 1) & 0x7fff);
    const answer = await this.server.answer(body.message(type, tag));
    assert.equal(answer.readUInt32LE(), answer.length);
    assert.equal(answer.readUInt16LE(5), tag);
    if (answer[4] === P9.LERROR) return -answer.readUInt32LE(7);
    assert.equal(answer[4], type + 1);
    return answer.subarray(7);
  }

  /** What must succeed. */
  async ok(type: number, body: Writer): Promise<Buffer> {
    const answer = await this.call(type, body);
    assert.ok(typeof answer !== 'number', `${type}: error ${answer as number}`);
    return answer;
  }

  async start(msize = 65536): Promise<this> {
    await this.ok(P9.VERSION, new Writer().u32(msize).text(Buffer.from('9P2000.L')));
    await this.ok(P9.ATTACH, new Writer().u32(0).u32(NO_FID).text(Buffer.from('')).text(Buffer.from('')).u32(0));
    return this;
  }

  walk(fid: number, newfid: number, ...names: (string | Buffer)[]): Promise<Buffer | number> {
    const body = new Writer().u32(fid).u32(newfid).u16(names.length);
    for (const name of names) body.text(Buffer.from(name as string));
    return this.call(P9.WALK, body);
  }

  open(fid: number, flags: number): Promise<Buffer | number> {
    return this.call(P9.LOPEN, new Writer().u32(fid).u32(flags));
  }

  create(fid: number, name: string, flags: number, mode: number): Promise<Buffer | number> {
    return this.call(P9.LCREATE, new Writer().u32(fid).text(Buffer.from(name)).u32(flags).u32(mode).u32(0));
  }

  async read(fid: number, offset: number, count: number): Promise<Buffer> {
    const answer = await this.ok(P9.READ, new Writer().u32(fid).u64(BigInt(offset)).u32(count));
    return answer.subarray(4);
  }

  write(fid: number, offset: number, data: Buffer): Promise<Buffer | number> {
    return this.call(P9.WRITE, new Writer().u32(fid).u64(BigInt(offset)).u32(data.length).bytes(data));
  }

  clunk(fid: number): Promise<Buffer | number> {
    return this.call(P9.CLUNK, new Writer().u32(fid));
  }
}
