// Viewers of a console: what each is shown, slow ones, and input for a guest that does not read.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CONSOLE_RING as R } from '../../services/console/protocol/ring.ts';
import { ConsoleBackend } from '../../services/console/backend/console.ts';
import { ByteRing, MemoryRingPage, PAGE_SIZE } from '../../services/lib/ring_page.ts';
import { duplexPair } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { ENCODING } from '../../services/rfb/protocol/messages.ts';
import { Pacer } from '../../services/rfb/backend/pacer.ts';
import { seen, Viewer as RfbViewer } from '../../services/rfb/testing.ts';
import { random } from '../../services/xenstore/testing.ts';
import { GuestConsole, type Viewer } from './console.ts';
import { TextDisplay } from './text_display.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');

function world(scrollback = 1000) {
  const page = new MemoryRingPage(new Uint8Array(new SharedArrayBuffer(PAGE_SIZE)));
  let waits = 0;
  const console = new GuestConsole(() => waits++);
  const backend = new ConsoleBackend({ page, sink: console, scrollback, inputLimit: 1000 });
  console.connect(backend);
  const output = new ByteRing(page, { data: R.OUT, size: R.OUT_SIZE, cons: R.OUT_CONS, prod: R.OUT_PROD });
  const input = new ByteRing(page, { data: R.IN, size: R.IN_SIZE, cons: R.IN_CONS, prod: R.IN_PROD });
  const say = (text: string): void => {
    for (let at = 0; at < text.length; backend.pump()) at += output.put(bytes(text.slice(at)))!;
  };
  return { console, backend, say, input, waits: () => waits };
}

function viewer() {
  const state = { seen: '', room: true, gone: 0, more: 0 };
  const it: Viewer = {
    data: (part) => {
      state.seen += Buffer.from(part).toString('latin1');
      return state.room;
    },
    more: () => state.more++,
    gone: () => state.gone++,
  };
  return Object.assign(state, { it });
}

test('the first sees all from the beginning, the next what nobody has seen, both what follows', () => {
  const { console, say } = world();
  say('boot ');
  const [a, b, c] = [viewer(), viewer(), viewer()];
  const first = console.attach(a.it);
  say('more ');
  console.attach(b.it);
  say('both ');
  assert.deepEqual([a.seen, b.seen], ['boot more both ', 'both ']);
  first.detach();
  say('b only ');
  console.attach(c.it);
  console.end();
  console.end();
  assert.deepEqual([a.seen, b.seen, c.seen], ['boot more both ', 'both b only ', '']);
  assert.deepEqual([a.gone, b.gone, c.gone], [0, 1, 1]);
  const late = viewer();
  console.attach(late.it);
  assert.equal(late.gone, 1);
});

test('a viewer that is behind gets what it missed, as far as that is kept, and holds up nobody', () => {
  const { console, say } = world(20);
  const [slow, fast] = [viewer(), viewer()];
  slow.room = false;
  const view = console.attach(slow.it);
  console.attach(fast.it);
  for (const text of ['0123456789', 'abcdefghij', 'ABCDEFGHIJ']) say(text);
  assert.equal(fast.seen, '0123456789abcdefghijABCDEFGHIJ');
  const seen = (): string => slow.seen;
  assert.equal(seen(), '0123456789');
  slow.room = true;
  view.resume();
  assert.equal(seen(), '0123456789abcdefghijABCDEFGHIJ');
  slow.room = false;
  say('x');
  for (let i = 0; i < 5; i++) say('y'.repeat(9) + i);
  slow.room = true;
  view.resume();
  assert.ok(seen().endsWith(`xyyyyyyyyy3yyyyyyyyy4`), 'the oldest of it is lost');
});

test('input waits for room, up to a bound, and nothing of it is lost', () => {
  const { console, backend, input, waits } = world();
  const a = viewer();
  const view = console.attach(a.it);
  const typed = Array.from({ length: 80 }, (_, i) => String(i).padStart(1000, '.')).join('');
  let accepted = true;
  let sent = 0;
  for (; accepted; sent += 1000) accepted = view.type(bytes(typed.slice(sent, sent + 1000)));
  assert.ok(sent >= 65536 && sent < 70000, `${sent}`);
  assert.ok(console.waiting && waits() > 0);
  let got = '';
  for (let i = 0; i < 1000 && got.length < sent; i++) {
    backend.pump();
    got += Buffer.from(input.take(700)!).toString('latin1');
    console.feed();
  }
  assert.equal(got, typed.slice(0, sent));
  assert.equal(a.more, 1, 'it is told once that there is room');
  assert.equal(console.waiting, false);
});

test('whoever comes after the end is shown what nobody has seen', () => {
  const { console, say } = world();
  const first = viewer();
  const attached = console.attach(first.it);
  say('seen, ');
  attached.detach();
  assert.equal(console.unseen, false);
  say('last words');
  assert.equal(console.unseen, true);
  console.end();
  const late = viewer();
  console.attach(late.it);
  assert.equal(late.seen, 'last words');
  assert.equal(late.gone, 1);
  assert.equal(console.unseen, false);
});

test('model: whatever the order, each viewer sees a stretch of the output from what nobody had seen', () => {
  const next = random(77);
  for (let round = 0; round < 200; round++) {
    const { console, say } = world(100_000);
    let [all, shown] = ['', 0];
    const views: { state: ReturnType<typeof viewer>; from: number; to: number | undefined; detach: () => void }[] = [];
    for (let i = 0; i < 60; i++) {
      const action = next(6);
      if (action === 0) {
        const state = viewer();
        const attached = console.attach(state.it);
        views.push({ state, from: shown, to: undefined, detach: () => attached.detach() });
        shown = all.length;
      } else if (action === 1 && views.length > 0) {
        const view = views[next(views.length)]!;
        view.to ??= all.length;
        view.detach();
      } else {
        const text = String.fromCharCode(97 + next(26)).repeat(1 + next(30));
        say(text);
        all += text;
        if (views.some(({ to }) => to === undefined)) shown = all.length;
      }
    }
    for (const { state, from, to } of views) assert.equal(state.seen, all.slice(from, to));
  }
});

test('a text display shows everything from the beginning and leaves it unseen; what was asked long ago is not answered', async () => {
  const { console, say, input } = world(100_000);
  const asked = '\x1b[6n';
  say(`first${asked}\r\n`);
  const display = new TextDisplay('it', console, new Pacer());
  const join = async (): Promise<RfbViewer> => {
    const [ours, theirs] = duplexPair();
    display.serve(ours);
    const v = await new RfbViewer(theirs, { encodings: [ENCODING.ZRLE] }).connect();
    await v.update(false);
    return v;
  };
  const typed = (): string => {
    console.feed();
    // Through the back end's queue.
    say(' ');
    return Buffer.from(input.take(1000)!).toString('latin1');
  };
  const v = await join();
  await seen(v, /^first/);
  assert.equal(typed(), '');
  say(`second${asked}`);
  await seen(v, /second/);
  assert.equal(typed(), '\x1b[2;8R');
  // A terminal that looks on answers for itself.
  const late = viewer();
  const attached = console.attach(late.it);
  assert.match(late.seen, /^first.*second/s);
  say(`third${asked}`);
  await seen(v, /third/);
  assert.equal(typed(), '');
  attached.detach();
  // More than can be drawn at once, and a viewer that comes when all others have left.
  say(`${'noise\r\n'.repeat(12_000)}\x1b[2J\x1b[Hlast`);
  await seen(v, /^last/);
  v.close();
  await sleep(20);
  const w = await join();
  await seen(w, /^last/);
  w.type('ab');
  await sleep(20);
  assert.equal(typed(), 'ab');
  console.end();
  await sleep(20);
  assert.ok(w.closed);
  const [ours] = duplexPair();
  display.serve(ours);
  assert.ok(ours.destroyed);
});
