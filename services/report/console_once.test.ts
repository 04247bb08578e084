import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConsoleOnce } from './console_once.ts';

test('lines that come both ways are told once, in whatever order and pieces', () => {
  const once = new ConsoleOnce();
  once.logged('one\ntw', 0);
  once.said('one\r\ntwo\r\n', 1);
  once.logged('o\n', 2);
  once.said('three\r\n', 3);
  once.logged('three\n', 3);
  assert.equal(once.due(10_000), '');
  assert.equal(once.due(10_000, true), '');
});

test('what comes one way only is told, after a while or at the end', () => {
  const once = new ConsoleOnce();
  once.said('on the console\n', 0);
  once.logged('alone\nlast\n', 0);
  assert.equal(once.due(100), '');
  assert.equal(once.due(300), 'alone\nlast\n');
  once.logged('at the end\n', 400);
  assert.equal(once.due(401, true), 'at the end\n');
  once.said('late\n', 1000);
  once.due(2000);
  once.logged('late\n', 2000);
  assert.equal(once.due(3000), 'late\n', 'another line with the same text');
});

test('a line without an end is told too, and what comes of it later', () => {
  const once = new ConsoleOnce();
  once.logged('> ', 0);
  assert.equal(once.due(100), '');
  assert.equal(once.due(300), '> ');
  once.logged('yes\nno\n', 400);
  assert.equal(once.due(400), 'yes\n');
  assert.equal(once.due(700), 'no\n');
});

test('a flood is told without waiting', () => {
  const once = new ConsoleOnce();
  once.logged('x\n'.repeat(1000), 0);
  assert.equal(once.due(0), 'x\n'.repeat(1000 - 256));
  assert.equal(once.due(0, true), 'x\n'.repeat(256));
  once.logged('y'.repeat(100_000), 0);
  assert.equal(once.due(0).length, 100_000);
  once.said('y'.repeat(100_000), 0);
});
