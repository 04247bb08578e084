// Machines and disks as files, by `xe`.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import { temporary, xeBed } from './bed.ts';

const DISKS = '<provision><disk device="0" size="2097152" sr="" bootable="true" type="system"/></provision>';

test('a machine goes out and comes in, and so do disks', async (t) => {
  const folder = temporary(t);
  const { ok, xe, xapi } = await xeBed(t, { storage: temporary(t) });
  const template = await ok('vm-create', 'name-label=little');
  await ok('vm-param-set', `uuid=${template}`, `other-config:disks=${DISKS}`, 'is-a-template=true');
  const uuid = await ok('vm-install', 'template=little', 'new-name-label=web');
  const vdi = await ok('vbd-list', `vm-uuid=${uuid}`, 'params=vdi-uuid', '--minimal');
  const contents = randomBytes(2 * 2 ** 20);
  const raw = join(folder, 'contents');
  writeFileSync(raw, contents);
  assert.equal(await ok('vdi-import', `uuid=${vdi}`, `filename=${raw}`, 'format=raw'), '');
  const back = join(folder, 'back');
  assert.equal(await ok('vdi-export', `uuid=${vdi}`, `filename=${back}`, 'format=raw'), '');
  assert.ok(readFileSync(back).equals(contents));

  const file = join(folder, 'web.xva');
  assert.equal(await ok('vm-export', 'vm=web', `filename=${file}`), 'Export succeeded');
  assert.ok(statSync(file).size > contents.length);
  // What is there stays, and the host hears of it.
  const again = await xe('vm-export', 'vm=web', `filename=${file}`);
  assert.deepEqual([again.code, again.out], [1, '']);
  assert.match(again.err, /^Operation failed\. Error: file '.*' cannot be made \(EEXIST\)\n/);
  const made = await ok('vm-import', `filename=${file}`);
  assert.notEqual(made, uuid);
  assert.equal(xapi.db.byUuid('VM', made).text('name_label'), 'web');
  const copy = await ok('vbd-list', `vm-uuid=${made}`, 'params=vdi-uuid', '--minimal');
  const other = join(folder, 'other');
  await ok('vdi-export', `uuid=${copy}`, `filename=${other}`, 'format=raw');
  assert.ok(readFileSync(other).equals(contents));

  const none = await xe('vm-import', `filename=${join(folder, 'none')}`);
  assert.deepEqual([none.code, /does not exist/.test(none.err)], [1, true]);
  writeFileSync(raw, 'no machine at all');
  const bad = await xe('vm-import', `filename=${raw}`);
  assert.equal(bad.code, 1);
  assert.match(bad.err, /^[A-Z]/);
  assert.equal((await xe('vm-import')).code, 1);
  for (let i = 0; xapi.db.table('task').size > 0 && i < 200; i++) await sleep(5);
  assert.equal(xapi.db.table('task').size, 0);
  assert.ok(existsSync(file));
});
