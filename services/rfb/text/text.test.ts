import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import type { Rect } from '../protocol/messages.ts';
import { random } from '../../xenstore/testing.ts';
import { TextScreen } from './screen.ts';

function terminal() {
  const typed: string[] = [];
  const screen = new TextScreen('text', (bytes) => void typed.push(Buffer.from(bytes).toString()));
  const damaged: Rect[] = [];
  screen.watch({ damaged: (rect) => void damaged.push(rect), resized: () => assert.fail() });
  const cell = (column: number, row: number): Uint32Array =>
    new Uint32Array(screen.read({ x: 8 * column, y: 16 * row, width: 8, height: 16 }).buffer);
  const lines = (column: number, row: number): string =>
    Array.from(cell(column, row), (value) => (value === 0 ? '.' : '#')).join('');
  return { screen, typed, damaged, cell, lines };
}
const drawn = (): Promise<void> => sleep(80);

test('letters are drawn where they belong, and only rows that change are damaged', async () => {
  const { screen, damaged, cell, lines } = terminal();
  assert.deepEqual([screen.width, screen.height], [640, 400]);
  screen.feed(Buffer.from('A\r\n\r\n  A\x1b[31;42mA'));
  await drawn();
  assert.match(lines(0, 0), /#/);
  assert.equal(lines(2, 2), lines(0, 0));
  assert.deepEqual(new Set(cell(3, 2)), new Set([0x00aa00, 0xaa0000]));
  assert.deepEqual(damaged.map(({ y }) => y / 16).sort(), [0, 2]); // prettier-ignore
  damaged.length = 0;
  screen.feed(Buffer.from('\x1b[1;1HB'));
  await drawn();
  assert.notEqual(lines(0, 0), lines(2, 2));
  screen.close();
});

test('keys are bytes, as of xterm; what the console asks is answered', async () => {
  const { screen, typed } = terminal();
  const press = (...keys: number[]): void => {
    for (const key of keys) screen.key(true, key);
    for (const key of keys.reverse()) screen.key(false, key);
  };
  press(0x61);
  press(0xff0d);
  press(0xffe3, 0x63);
  press(0xffe9, 0x78);
  press(0xff52);
  press(0x010020ac);
  press(0xe9);
  assert.deepEqual(typed, ['a', '\r', '\x03', '\x1bx', '\x1b[A', '€', 'é']);
  typed.length = 0;
  screen.feed(Buffer.from('\x1b[?1h\x1b[6n'));
  await drawn();
  press(0xff52);
  assert.deepEqual(typed, ['\x1b[1;1R', '\x1bOA']);
  screen.close();
});

test('fuzz: any bytes, at any speed; what waits is bounded by who feeds', async () => {
  const next = random(17);
  const { screen } = terminal();
  let room = 0;
  screen.onRoom = () => room++;
  let held = 0;
  for (let i = 0; i < 400; i++) {
    const bytes = Buffer.from(Array.from({ length: 1 + next(700) }, () => [0x1b, 0x5b, 0x3b, 0x30 + next(10), next(256)][next(5)]!)); // prettier-ignore
    if (!screen.feed(bytes)) held++;
    if (i % 40 === 0) await sleep(1);
  }
  await drawn();
  assert.ok(held === 0 || room > 0);
  assert.equal(screen.read({ x: 0, y: 0, width: 640, height: 400 }).length, 640 * 400 * 4);
  screen.close();
});
