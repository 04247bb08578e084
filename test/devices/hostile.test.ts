// Front ends that break the protocol of consoles and screens: they are told why and are served no more, until they begin anew.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { GuestScreen } from '../../services/framebuffer/backend/screen.ts';
import { CONSOLE_DOMID } from '../../services/xenops/host.ts';
import { FRAMEBUFFER_DOMID } from '../../services/xenops/framebuffers.ts';
import type { Rect } from '../../services/rfb/protocol/messages.ts';
import { random } from '../../services/xenstore/testing.ts';
import { PAGE } from '../block/front.ts';
import { DeviceBed, Front } from './bed.ts';

const bed = new DeviceBed();
after(() => bed.close());
const [INIT_WAIT, CONNECTED, CLOSING, CLOSED] = [2, 4, 5, 6];
let domid = 10;

/** A screen of 64 by 32, with what it takes in the front end's memory. */
function screenFront() {
  const front = new Front(bed, ++domid, FRAMEBUFFER_DOMID, 'vfb', 0);
  const { domain } = front;
  const screen = new GuestScreen('hostile');
  const damaged: Rect[] = [];
  let sizes = 0;
  screen.watch({ damaged: (rect) => damaged.push(rect), resized: () => sizes++ });
  bed.host.framebuffers.attach(domain.domid, { devid: 0, screen, notes: {} }, 64);
  const [page, list, memory] = [domain.pages(1), domain.pages(1), domain.pages(2)];
  const header = (width = 64, height = 32, stride = 256, size = 2 * PAGE, depth = 32): void => {
    domain.port.write(page * PAGE, new Uint8Array(PAGE));
    [width, height, stride, size, depth].forEach((value, i) => domain.setU32(page * PAGE + 16 + 4 * i, value));
    domain.setU32(page * PAGE + 40, list);
    domain.port.write(list * PAGE, new Uint8Array(PAGE));
    for (const i of [0, 1]) domain.setU32(list * PAGE + 8 * i, memory + i);
  };
  header();
  const good = { 'page-ref': page, 'feature-update': 1, protocol: 'x86_64-abi' };
  const event = (at: number, type: number, words: number[]): void =>
    domain.port.write(page * PAGE + 2048 + 40 * at, new Uint8Array(new Int32Array([type, ...words]).buffer));
  return { front, domain, screen, damaged, sizes: () => sizes, page, list, memory, header, good, event };
}

test('a frame buffer: shown, changed, of another size, let go', async () => {
  const { front, domain, screen, damaged, sizes, page, memory, good, event } = screenFront();
  assert.equal(front.state, INIT_WAIT);
  const port = front.port();
  await front.write({ ...good, 'event-channel': port });
  assert.deepEqual([front.state, front.error, screen.width, screen.height], [CONNECTED, '', 64, 32]);
  domain.setU32(memory * PAGE + 256 * 20 + 4 * 3, 0x00abcdef);
  assert.deepEqual([...screen.read({ x: 3, y: 20, width: 1, height: 1 })], [0xef, 0xcd, 0xab, 0]);
  assert.equal(screen.read({ x: 0, y: 0, width: 64, height: 32 })[4 * (64 * 20 + 3)], 0xef);
  event(0, 2, [1, 2, 30, 4]);
  event(1, 99, [1, 2, 3]);
  event(2, 3, [32, 16, 256, 32, 4096]);
  domain.setU32(page * PAGE + 12, 3);
  front.notify(port);
  await bed.turn();
  assert.deepEqual(damaged.map(({ x, y, width, height }) => [x, y, width, height]), [[1, 2, 30, 4]]); // prettier-ignore
  assert.deepEqual([screen.width, screen.height, sizes(), domain.u32(page * PAGE + 8)], [32, 16, 2, 3]);
  assert.deepEqual([...screen.read({ x: 3, y: 4, width: 1, height: 1 })], [0xef, 0xcd, 0xab, 0]);
  bed.host.framebuffers.forget(domain.domid);
  await bed.turn();
  assert.deepEqual([screen.width, screen.height], [640, 480]);
});

test('a frame buffer that cannot be is refused with a sentence, and may be made right', async () => {
  const { front, domain, screen, header, good, list, page } = screenFront();
  const bad: [RegExp, () => object | void][] = [
    [/a screen cannot be 0 by 32/, () => header(0)],
    [/a screen cannot be -1 by 32/, () => header(-1)],
    [/a screen cannot be 64 by 9000/, () => header(64, 9000)],
    [/not inside of/, () => header(64, 32, 255)],
    [/not inside of/, () => header(64, 33)],
    [/not inside of/, () => header(64, 32, 0xffffffff)],
    [/is too large/, () => header(64, 32, 256, 0xffffffff)],
    [/pixels of 24 bits/, () => header(64, 32, 256, 2 * PAGE, 24)],
    [/a frame number is too large/, () => (header(), domain.setU32(page * PAGE + 44, 0x1000))],
    [/the ring or its event channel/, () => (header(), domain.setU32(page * PAGE + 40, 0xfffff))],
    [/the ring or its event channel/, () => (header(), domain.setU32(list * PAGE + 8, 0xffffff))],
    [/the ring or its event channel/, () => (header(), { 'page-ref': 0xffffff })],
    [/the ring or its event channel/, () => ({ 'event-channel': 999 })],
    [/event-channel cannot be/, () => ({ 'event-channel': '-1' })],
    [/feature-update is not set/, () => ({ 'feature-update': 0 })],
    [/protocol 'arm-abi' is not known/, () => ({ protocol: 'arm-abi' })],
  ];
  for (const [why, make] of bad) {
    const nodes = make() ?? {};
    await front.write({ ...good, 'event-channel': front.port(), ...nodes });
    assert.match(front.error, why);
    assert.deepEqual([front.state, screen.width], [CLOSING, 640], String(why));
    await front.again();
    assert.equal(front.state, INIT_WAIT);
  }
  header();
  await front.write({ ...good, 'event-channel': front.port() });
  assert.deepEqual([front.state, screen.width], [CONNECTED, 64]);
});

test('impossible indexes and sizes end a connected frame buffer; any other event is harmless', async () => {
  const next = random(23);
  const { front, domain, screen, header, good, page, event } = screenFront();
  for (let round = 0; round < 40; round++) {
    header();
    const port = front.port();
    await front.write({ ...good, 'event-channel': port });
    assert.equal(front.state, CONNECTED);
    let prod = next(0xffffffff);
    domain.setU32(page * PAGE + 8, prod);
    domain.setU32(page * PAGE + 12, prod);
    await bed.turn();
    const count = next(51);
    for (let i = 0; i < count; i++)
      event(
        prod++ % 51,
        next(6),
        Array.from({ length: 9 }, () => (next(2) ? next(0xffffffff) | 0 : next(80))),
      );
    prod = (prod + (next(4) === 0 ? 1000 : 0)) >>> 0;
    domain.setU32(page * PAGE + 12, prod);
    front.notify(port);
    await bed.turn();
    assert.ok([CONNECTED, CLOSING].includes(front.state));
    const { width, height } = screen;
    assert.equal(screen.read({ x: 0, y: 0, width, height }).length, 4 * width * height);
    await front.again();
  }
});

test('a keyboard: events in order, a bound for who does not take them, impossible indexes', async () => {
  const front = new Front(bed, ++domid, FRAMEBUFFER_DOMID, 'vkbd', 0);
  const { domain } = front;
  const screen = new GuestScreen('keys');
  bed.host.framebuffers.attach(domain.domid, { devid: 0, screen, notes: {} }, 64);
  const page = domain.pages(1);
  const connect = async (): Promise<number> => {
    domain.port.write(page * PAGE, new Uint8Array(PAGE));
    const port = front.port();
    await front.write({ 'page-gref': domain.grant(page), 'event-channel': port, 'request-abs-pointer': 1 });
    return port;
  };
  const port = await connect();
  assert.equal(front.state, CONNECTED);
  const events = (count: number): number[][] =>
    Array.from({ length: count }, (_, i) => {
      const b = domain.port.read(page * PAGE + 1024 + 40 * i, 16).slice();
      return [b[0]!, b[1]!, ...new Int32Array(b.buffer, 4)];
    });
  screen.key(true, 0x41, undefined);
  screen.key(false, 0x41, undefined);
  screen.pointer(2, 639, 0);
  await bed.turn();
  assert.deepEqual(events(6), [[3, 1, 42, 0, 0], [3, 1, 30, 0, 0], [3, 0, 42, 0, 0], [3, 0, 30, 0, 0], [4, 0, 32767, 0, 0], [3, 1, 0x112, 0, 0]]); // prettier-ignore
  for (let i = 0; i < 5000; i++) screen.pointer(0, i % 640, 3);
  await bed.turn();
  assert.equal(domain.u32(page * PAGE + 4), 51, 'the ring is full');
  let taken = 0;
  for (let more = 51; more > 0; more = domain.u32(page * PAGE + 4) - taken) {
    taken += more;
    domain.setU32(page * PAGE, taken);
    front.notify(port);
    await bed.turn();
  }
  assert.ok(taken > 1000 && taken < 1200, `${taken} of 5000 were kept`);
  domain.setU32(page * PAGE, 5);
  screen.key(true, 0x61, undefined);
  await bed.turn();
  assert.deepEqual([front.state, front.error], [CLOSING, 'its indexes are impossible']);
  await front.again();
  await front.write({ 'page-gref': 999, 'event-channel': front.port() });
  assert.match(front.error, /the ring: grant 999 cannot be mapped/);
  await front.again();
  await connect();
  assert.equal(front.state, CONNECTED);
});

test('a console: bad grants and ports are refused; it may close and begin anew', async () => {
  const front = new Front(bed, ++domid, CONSOLE_DOMID, 'console', 1);
  const { domain } = front;
  let said = '';
  const end = { write: (bytes: Uint8Array) => void (said += Buffer.from(bytes).toString()), connect: () => {} };
  bed.host.consoles.attach(domain.domid, { devid: 1, name: 'x', connection: 'pty', end });
  const page = domain.pages(1);
  for (const [nodes, why] of [
    [{ 'ring-ref': 4000, port: front.port() }, /the ring: grant 4000/],
    [{ 'ring-ref': domain.grant(page), port: 900 }, /event channel/],
    [{ 'ring-ref': 'x', port: 1 }, /ring-ref cannot be 'x'/],
  ] as const) {
    await front.write(nodes);
    assert.match(front.error, why);
    assert.equal(front.state, CLOSING);
    await front.again();
    assert.equal(front.state, INIT_WAIT);
  }
  for (let round = 0; round < 3; round++) {
    domain.port.write(page * PAGE, new Uint8Array(PAGE));
    domain.port.write(page * PAGE + 1024, Buffer.from(`round ${round}\n`));
    domain.setU32(page * PAGE + 3084, 8);
    await front.write({ 'ring-ref': domain.grant(page), port: front.port() });
    assert.equal(front.state, CONNECTED);
    await front.write({}, CLOSED);
    assert.equal(front.state, CLOSED);
    await front.write({}, 1);
  }
  assert.equal(said, 'round 0\nround 1\nround 2\n');
});
