import { test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Store } from '../protocol/store.ts';
import { XS } from '../protocol/wire.ts';
import { restartStore } from '../restart.ts';
import { RawClient } from '../testing.ts';
import { administer } from './administration.ts';

test('CONTROL: the log and where it goes, memory reports, the restart', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'xenstore-'));
  let store = new Store();
  const dom0 = new RawClient(store, 0);
  const control = (...words: string[]) =>
    dom0.ask(XS.CONTROL, words.map((word) => `${word}\0`).join('')).replace('\0', '');
  let restarts = 0;
  const restart = () => {
    store = restartStore(store, [dom0]);
    restarts++;
  };
  assert.equal(control('log', 'on'), 'EINVAL');
  const close = administer(store, { logfile: join(folder, 'one'), restart });
  const read = (name: string) => readFileSync(join(folder, name), 'latin1');
  try {
    assert.equal(control('log', 'on'), 'OK');
    dom0.write('/a', 'x\n\xff');
    const guest = new RawClient(store, 3);
    guest.read('/a');
    assert.match(
      read('one'),
      / socket 1 in WRITE \/a x\.\.\n.* socket 1 out WRITE OK\n.* domain 3 in READ \/a\n.* domain 3 out ERROR EACCES\n$/,
    );
    assert.equal(control('logfile', join(folder, 'two')), 'OK');
    assert.equal(control('logfile', join(folder, 'none', 'three')), 'ENOENT');
    assert.equal(control('live-update', '-s'), 'OK');
    assert.equal(restarts, 0, 'not within the request');
    await new Promise(setImmediate);
    assert.equal(restarts, 1);
    dom0.write('/b', 'after');
    assert.match(read('two'), / socket 1 in WRITE \/b after\n/);
    assert.equal(control('log', 'off'), 'OK');
    const before = read('two');
    dom0.write('/c', '');
    assert.equal(read('two'), before);
    assert.equal(control('memreport', join(folder, 'report')), 'OK');
    assert.match(read('report'), /^4 nodes, 2 connections, 0 transactions\nDomain 0:\nnodes {11}: {8}4\n/);
    assert.equal(control('memreport', folder), 'EISDIR');
    const tx = dom0.begin();
    assert.equal(control('live-update', '-s'), 'BUSY');
    assert.equal(control('live-update', '-s', '-F'), 'OK');
    await new Promise(setImmediate);
    assert.equal(dom0.end(tx), 'OK\0');
    assert.match(control('live-update', '-f', '/usr/sbin/xenstored'), /its own program/);
  } finally {
    close();
    rmSync(folder, { recursive: true });
  }
});
