import assert from 'node:assert/strict';
import { duplexPair } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import { random } from '../xenstore/testing.ts';
import { RfbServer } from './backend/server.ts';
import { Watchers, type Screen, type Watcher } from './backend/screen.ts';
import { vncResponse } from './protocol/auth.ts';
import { Damage } from './protocol/damage.ts';
import { codeOfScancode, keyOf } from './protocol/keysyms.ts';
import { ENCODING, Incoming, MAPPED, NATIVE, readMessage, RfbError, type PixelFormat, type Rect } from './protocol/messages.ts'; // prettier-ignore
import { PixelWriter } from './protocol/pixels.ts';
import { Viewer, type ViewerOptions } from './testing.ts';

/** A screen that anybody may paint. */
class Canvas implements Screen {
  readonly name = 'canvas';
  width: number;
  height: number;
  readonly watchers = new Watchers();
  words: Uint32Array;
  keys: string[] = [];
  pointers: number[][] = [];
  constructor(width: number, height: number) {
    [this.width, this.height] = [width, height];
    this.words = new Uint32Array(width * height);
  }
  resize(width: number, height: number): void {
    [this.width, this.height] = [width, height];
    this.words = new Uint32Array(width * height).fill(0x123456);
    this.watchers.resized();
  }
  fill({ x, y, width, height }: Rect, value: (i: number) => number): void {
    let i = 0;
    for (let row = y; row < y + height; row++)
      for (let column = x; column < x + width; column++) this.words[row * this.width + column] = value(i++);
    this.watchers.damaged({ x, y, width, height });
  }
  read({ x, y, width, height }: Rect): Uint8Array {
    assert.ok(x + width <= this.width && y + height <= this.height);
    const out = new Uint32Array(width * height);
    for (let row = 0; row < height; row++)
      out.set(this.words.subarray((y + row) * this.width + x, (y + row) * this.width + x + width), row * width);
    return new Uint8Array(out.buffer);
  }
  watch(watcher: Watcher): () => void {
    return this.watchers.add(watcher);
  }
  key(down: boolean, keysym: number, scancode: number | undefined): void {
    this.keys.push(`${down ? '+' : '-'}${keysym.toString(16)}${scancode === undefined ? '' : `/${scancode}`}`);
  }
  pointer(buttons: number, x: number, y: number): void {
    this.pointers.push([buttons, x, y]);
  }
}

function viewer(server: RfbServer, options?: ViewerOptions): Viewer {
  const [ours, theirs] = duplexPair();
  server.serve(ours);
  return new Viewer(theirs, options);
}

const R565: PixelFormat = { ...NATIVE, bitsPerPixel: 16, depth: 16, max: [31, 63, 31], shift: [11, 5, 0] };
const HIGH: PixelFormat = { ...NATIVE, shift: [24, 16, 8] };
const FORMATS: Record<string, PixelFormat> = { NATIVE, R565, HIGH, MAPPED: { ...MAPPED, trueColour: false } };

/** What a viewer of that format is to see. */
function expected(canvas: Canvas, format: PixelFormat, encoding: number): number[] {
  const writer = new PixelWriter(format);
  const bytes = new Uint8Array(canvas.words.buffer);
  // Compact pixels whose colours are in the high bytes come without the lowest one.
  const shift = encoding === ENCODING.ZRLE && format === HIGH ? 8 : 0;
  return Array.from(canvas.words, (_, i) => writer.value(bytes, 4 * i) >>> shift);
}

const random565 = (next: (n: number) => number) => next(0x1000000);

test('every version, encoding and format shows the screen as it is', async () => {
  const next = random(11);
  const canvas = new Canvas(200, 150);
  const server = new RfbServer(canvas);
  for (const version of ['RFB 003.003\n', 'RFB 003.007\n', 'RFB 003.008\n'])
    for (const [name, format] of Object.entries(FORMATS).slice(0, version.endsWith('8\n') ? 4 : 1))
      for (const encoding of [ENCODING.RAW, ENCODING.ZRLE]) {
        const v = await viewer(server, { version, format, encodings: [encoding] }).connect();
        assert.deepEqual([v.width, v.height, v.name], [200, 150, 'canvas']);
        await v.update(false);
        for (let i = 0; i < 3; i++) {
          const [x, y] = [next(150), next(100)];
          const rect = { x, y, width: 1 + next(200 - x), height: 1 + next(150 - y) };
          // One colour, few colours, runs, noise.
          const kind = next(4);
          const colours = Array.from({ length: 1 + next(20) }, () => random565(next));
          canvas.fill(rect, (n) => (kind === 0 ? colours[0]! : kind === 1 ? colours[next(colours.length)]! : kind === 2 ? colours[Math.floor(n / 300) % colours.length]! : random565(next))); // prettier-ignore
          await v.update();
        }
        assert.deepEqual(Array.from(v.pixels), expected(canvas, format, encoding), `${version} ${name} ${encoding}`);
        assert.equal(v.map !== undefined, name === 'MAPPED');
        v.close();
      }
});

test('several viewers, one of which wants to be alone; another size, with and without', async () => {
  const canvas = new Canvas(100, 80);
  const server = new RfbServer(canvas);
  const both = [ENCODING.ZRLE, ENCODING.DESKTOP_SIZE];
  const [a, b] = [await viewer(server, { encodings: both }).connect(), await viewer(server).connect()];
  await Promise.all([a.update(false), b.update(false)]);
  canvas.resize(160, 40);
  await a.update();
  assert.deepEqual([a.width, a.height], [160, 40]);
  await Promise.all([a.update(), b.update()]);
  assert.deepEqual(Array.from(a.pixels), expected(canvas, NATIVE, ENCODING.ZRLE));
  assert.equal(b.width, 100);
  assert.ok(b.pixels.subarray(0, 100 * 40).every((value) => value === 0x123456));
  assert.ok(
    b.pixels.subarray(100 * 40).every((value) => value === 0),
    'what is no more is black',
  );
  assert.equal(server.viewers, 2);
  const c = await viewer(server, { shared: false }).connect();
  await sleep(10);
  assert.ok(a.closed && b.closed && !c.closed);
  server.close();
});

test('a password: DES as it is defined, right and wrong, its first eight bytes', async () => {
  // The key of a published example, with its bits as VNC reverses them.
  const key = Buffer.from('133457799bbcdff1', 'hex').map((byte) => Number.parseInt([...byte.toString(2).padStart(8, '0')].reverse().join(''), 2)); // prettier-ignore
  assert.equal(vncResponse(Buffer.from(key).toString('latin1'), Buffer.from('0123456789abcdef0123456789abcdef', 'hex')).toString('hex'), '85e813540f0ab405'.repeat(2)); // prettier-ignore
  const server = new RfbServer(new Canvas(10, 10), 'secret-word');
  for (const version of ['RFB 003.003\n', 'RFB 003.008\n']) {
    const good = await viewer(server, { version, password: 'secret-w' }).connect();
    assert.equal(good.width, 10);
    good.close();
  }
  const began = Date.now();
  await assert.rejects(viewer(server, { password: 'secret' }).connect(), /the password is wrong/);
  assert.ok(Date.now() - began >= 900);
  server.close();
});

test('keys and pointer pass; what is held is let go when a viewer leaves', async () => {
  const canvas = new Canvas(10, 10);
  const v = await viewer(new RfbServer(canvas), { encodings: [ENCODING.QEMU_EXTENDED_KEY] }).connect();
  await v.update(false);
  assert.ok(v.scancodes);
  v.type('a');
  v.key(true, 0xffe1);
  v.stream.write(Buffer.from('ff0000010000ff1b00000001', 'hex'));
  v.pointer(1, 3, 400);
  await sleep(20);
  v.close();
  await sleep(20);
  assert.deepEqual(canvas.keys, ['+61', '-61', '+ffe1', '+ff1b/1', '-ffe1', '-ff1b/1']);
  assert.deepEqual(canvas.pointers, [[1, 3, 9], [0, 3, 9]]); // prettier-ignore
});

test('keysyms and scan codes are keys', () => {
  assert.deepEqual(keyOf(0x61), { code: 30, shift: false });
  assert.deepEqual(keyOf(0x3f), { code: 53, shift: true });
  assert.deepEqual([keyOf(0x20), keyOf(0xff0d), keyOf(0xffc9)].map((key) => key?.code), [57, 28, 88]); // prettier-ignore
  assert.equal(keyOf(0x1234567), undefined);
  assert.deepEqual([1, 0x39, 0xc8, 0x54, 0xff, 0x1234].map(codeOfScancode), [1, 57, 103, undefined, undefined, undefined]); // prettier-ignore
  const printable = Array.from({ length: 95 }, (_, i) => keyOf(0x20 + i));
  assert.ok(printable.every((key) => key !== undefined));
});

test('damage covers what was damaged and stays inside, against a naive map', () => {
  const next = random(3);
  for (let round = 0; round < 300; round++) {
    const [width, height] = [1 + next(500), 1 + next(500)];
    const damage = new Damage();
    damage.resize(width, height);
    damage.take(2);
    const marks: [number, number][] = [];
    for (let i = next(5); i > 0; i--) {
      const rect = { x: next(600) - 50, y: next(600) - 50, width: next(200), height: next(200) };
      damage.add(rect);
      const corner: [number, number] = [rect.x + rect.width - 1, rect.y + rect.height - 1];
      const inside = corner[0] >= 0 && corner[0] < width && corner[1] >= 0 && corner[1] < height;
      if (inside && rect.width > 0 && rect.height > 0) marks.push(corner);
    }
    const rects = damage.take(1 + next(4));
    assert.ok(!damage.any);
    for (const r of rects) assert.ok(r.x >= 0 && r.y >= 0 && r.width > 0 && r.height > 0 && r.x + r.width <= width && r.y + r.height <= height); // prettier-ignore
    for (const [x, y] of marks) assert.equal(rects.filter((r) => x >= r.x && x < r.x + r.width && y >= r.y && y < r.y + r.height).length, 1); // prettier-ignore
  }
});

test('fuzz: whatever a viewer says in whatever pieces, it is served or cut off', async () => {
  const next = random(5);
  const canvas = new Canvas(70, 70);
  const server = new RfbServer(canvas);
  for (let round = 0; round < 60; round++) {
    const v = viewer(server);
    await v.connect();
    for (let i = 0; i < 20 && !v.closed; i++) {
      const bytes = Buffer.from(Array.from({ length: 1 + next(40) }, () => next(256)));
      if (next(2) === 0) bytes[0] = [0, 2, 3, 4, 5, 6, 255][next(7)]!;
      v.stream.write(bytes);
      if (next(4) === 0) canvas.fill({ x: next(60), y: next(60), width: 5, height: 5 }, () => next(0xffffff));
      if (next(8) === 0) await sleep(1);
    }
    v.close();
  }
  await sleep(50);
  assert.equal(server.viewers, 0);
  const v = await viewer(server).connect();
  await v.update(false);
  assert.deepEqual(Array.from(v.pixels), expected(canvas, NATIVE, ENCODING.RAW));
  server.close();
});

test('messages are read from any pieces alike; bounds hold', () => {
  const stream = Buffer.concat([
    Buffer.from('000000002018000100ff00ff00ff100800000000', 'hex'),
    Buffer.from('0200000200000010ffffff21', 'hex'),
    Buffer.from('0300000100020003000405060000000700000008', 'hex').subarray(0, 10),
    Buffer.from('0600000000000005', 'hex'),
    Buffer.from('hello'),
    Buffer.from('0401000000000061', 'hex'),
  ]);
  const read = (size: number): unknown[] => {
    const incoming = new Incoming();
    const out: unknown[] = [];
    for (let at = 0; at < stream.length; at += size) {
      incoming.push(stream.subarray(at, at + size));
      for (let m = readMessage(incoming); m; m = readMessage(incoming)) out.push(m);
    }
    return out;
  };
  const whole = read(stream.length);
  assert.deepEqual(whole.map((m) => (m as { type: string }).type), ['format', 'encodings', 'request', 'cut', 'key']); // prettier-ignore
  for (const size of [1, 2, 3, 7, 13]) assert.deepEqual(read(size), whole);
  for (const bad of [
    '09',
    '02000401',
    'ff05',
    '0000000018180001'.padEnd(40, '0'),
    '000000001008000100ff00ff00ff100800000000',
  ]) {
    const incoming = new Incoming();
    incoming.push(Buffer.from(bad, 'hex'));
    assert.throws(() => readMessage(incoming), RfbError, bad);
  }
});
