import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { NULL_REF } from '../../../spec/xenapi/types.ts';
import { random as generator } from '../../../test/random.ts';
import { dump, memoryDatabase, openDatabase, restore } from './open.ts';
import type { Row } from './row.ts';
import { SCHEMAS } from './schema.ts';
import { UPGRADES } from './upgrades.ts';
import { WriterThread, type Batch } from './store.ts';
import { Database } from './database.ts';

function folder(t: { after(f: () => void): void }): string {
  const path = mkdtempSync(join(tmpdir(), 'xenapi-'));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

const names = (set: string[]) => [...set].sort();
const failure = (code: string, ...params: string[]) => ({ code, params });

test('both ends of a relation agree', () => {
  const db = memoryDatabase();
  const vm = db.create('VM', { name_label: 'a' });
  const one = db.create('VBD', { VM: vm.ref });
  const two = db.create('VBD', { VM: vm.ref });
  assert.deepEqual(names(vm.refs('VBDs')), names([one.ref, two.ref]));
  const other = db.create('VM', {});
  db.set(one, { VM: other.ref });
  assert.deepEqual(vm.refs('VBDs'), [two.ref]);
  assert.deepEqual(other.refs('VBDs'), [one.ref]);
  db.destroy(two);
  assert.deepEqual(vm.refs('VBDs'), []);
  db.destroy(other);
  assert.equal(one.text('VM'), NULL_REF);
  assert.throws(() => db.set(vm, { VBDs: [] }), /cannot be set/);
});

test('sets on both sides agree', () => {
  const db = memoryDatabase();
  const [a, b] = [db.create('VM_group', {}), db.create('VM_group', {})];
  const vm = db.create('VM', { groups: [a.ref, b.ref] });
  assert.deepEqual([a.refs('VMs'), b.refs('VMs')], [[vm.ref], [vm.ref]]);
  db.destroy(a);
  assert.deepEqual(vm.refs('groups'), [b.ref]);
});

test('a change that throws has not happened', () => {
  const db = memoryDatabase();
  const vm = db.create('VM', { name_label: 'before' });
  const vbd = db.create('VBD', { VM: vm.ref });
  const { generation } = db;
  const before = vm.json;
  assert.throws(() =>
    db.change(() => {
      db.set(vm, { name_label: 'after' });
      db.create('VBD', { VM: vm.ref });
      db.destroy(vbd);
      db.destroy(vm);
      throw new Error('no');
    }),
  );
  assert.equal(vm.json, before);
  assert.equal(db.generation, generation);
  assert.deepEqual([...db.table('VBD').keys()], [vbd.ref]);
  assert.equal(db.byUuid('VM', vm.uuid), vm);
  assert.equal(vbd.text('VM'), vm.ref);
});

test('who asks for what is not there is told so', () => {
  const db = memoryDatabase();
  assert.throws(() => db.row('VM', 'OpaqueRef:x'), failure('HANDLE_INVALID', 'VM', 'OpaqueRef:x'));
  assert.throws(() => db.byUuid('VM', 'x'), failure('UUID_INVALID', 'VM', 'x'));
});

test('the log tells each row once, with its last change', () => {
  const db = memoryDatabase();
  const a = db.create('VM', {});
  const b = db.create('VM', {});
  const since = db.generation;
  assert.deepEqual([...db.log.changesAfter(since)], []);
  for (let i = 0; i < 5000; i++) db.set(a, { name_label: String(i) });
  assert.deepEqual([...db.log.changesAfter(since)], [a]);
  assert.deepEqual([...db.log.changesAfter(0)], [b, a]);
  db.destroy(b);
  assert.deepEqual(
    [...db.log.removalsAfter(since)].map(({ ref }) => ref),
    [b.ref],
  );
  assert.deepEqual([...db.log.changesAfter(0)], [a]);
});

test('what has been acknowledged is there again, with its references', async (t) => {
  const path = join(folder(t), 'db');
  let db = openDatabase(path);
  const vm = db.create('VM', { name_label: 'ünï"\u0000', tags: ['a'], other_config: { k: 'v' } });
  const vbd = db.create('VBD', { VM: vm.ref });
  const gone = db.create('VM', { affinity: vm.ref });
  db.create('task', {});
  await db.durable();
  db.destroy(gone);
  const { generation } = db;
  await db.close();
  db = openDatabase(path);
  assert.equal(db.generation, generation);
  assert.equal(db.row('VM', vm.ref).json, vm.json);
  assert.deepEqual(db.row('VM', vm.ref).refs('VBDs'), [vbd.ref]);
  assert.equal(db.find('VM', gone.ref), undefined);
  assert.equal(db.table('task').size, 0);
  await db.close();
});

test('a reference to what is gone becomes null', async () => {
  const db = memoryDatabase();
  const host = db.create('host', {});
  const vm = db.create('VM', { affinity: host.ref });
  db.destroy(host);
  await db.sweepIfDue();
  assert.equal(vm.text('affinity'), NULL_REF);
});

test('what cannot be written is not acknowledged, and written later', async () => {
  const batches: Batch[] = [];
  let full = true;
  const db = new Database({
    write: (batch) => (full ? Promise.reject(new Error('full')) : Promise.resolve(void batches.push(batch))),
    close: () => Promise.resolve(),
  });
  const vm = db.create('VM', { name_label: 'a' });
  await assert.rejects(db.durable(), /full/);
  db.set(vm, { name_label: 'b' });
  const gone = db.create('VM', {});
  await assert.rejects(db.durable(), /full/);
  db.destroy(gone);
  full = false;
  await db.durable();
  assert.equal(batches.length, 1);
  assert.deepEqual([batches[0].put.map(([ref]) => ref), batches[0].remove], [[vm.ref], [gone.ref]]);
  assert.equal((JSON.parse(batches[0].put[0][4]) as { name_label: string }).name_label, 'b');
  await db.durable();
  assert.equal(batches.length, 1);
});

test('changes that come while the disk is busy are written together', async () => {
  const sizes: number[] = [];
  const db = new Database({
    write: ({ put }) => new Promise((resolve) => setTimeout(() => resolve(void sizes.push(put.length)), 5)),
    close: () => Promise.resolve(),
  });
  const waits = Array.from({ length: 50 }, async () => {
    db.create('VM', {});
    await db.durable();
  });
  await Promise.all(waits);
  assert.equal(
    sizes.reduce((sum, size) => sum + size, 0),
    50,
  );
  assert.ok(sizes.length <= 3, String(sizes));
});

test('dump and restore', async (t) => {
  const at = folder(t);
  const db = openDatabase(join(at, 'db'));
  for (let i = 0; i < 50; i++) db.create('VM', { name_label: `vm ${i}` });
  await db.close();
  assert.equal(await dump(join(at, 'db'), join(at, 'dump')), 50);
  assert.equal(await restore(join(at, 'dump'), join(at, 'copy')), 50);
  const copy = openDatabase(join(at, 'copy'));
  for (const [ref, row] of db.table('VM')) assert.equal(copy.row('VM', ref).json, row.json);
  assert.equal(copy.generation, db.generation);
  await copy.close();
  await assert.rejects(restore(join(at, 'dump'), join(at, 'copy')), /exists/);
  writeFileSync(join(at, 'bad'), `${readFileSync(join(at, 'dump'), 'utf8')}[1]\n`);
  await assert.rejects(restore(join(at, 'bad'), join(at, 'other')), /bad:52: an object has five parts/);
});

test('a later schema, or no database, is refused in one sentence', (t) => {
  const at = folder(t);
  const db = new DatabaseSync(join(at, 'later'));
  db.exec('PRAGMA user_version = 99');
  db.close();
  assert.throws(() => openDatabase(join(at, 'later')), /later version of Xenolith \(schema 99\)/);
  writeFileSync(join(at, 'text'), 'x'.repeat(10_000));
  assert.throws(() => openDatabase(join(at, 'text')), /cannot be used as a database/);
});

/** Every derived set is what a scan of the other side finds. */
function consistent(db: Database): void {
  for (const { name, backLinks } of SCHEMAS.values())
    for (const row of db.table(name).values())
      for (const link of backLinks) {
        const scanned = [...db.table(link.class).values()].filter((other) =>
          (link.many ? other.refs(link.field) : [other.text(link.field)]).includes(row.ref),
        );
        assert.deepEqual(names(row.refs(link.back)), names(scanned.map(({ ref }) => ref)), `${name}.${link.back}`);
      }
}

test('random changes, some of which fail, leave every relation right', () => {
  const below = generator(7);
  const db = memoryDatabase();
  const classes = ['VM', 'VBD', 'VDI', 'VIF', 'network', 'VM_group', 'SR'];
  const pick = (name: string): Row | undefined => {
    const all = [...db.table(name).values()];
    return all[below(all.length || 1)];
  };
  const step = () => {
    const name = classes[below(classes.length)];
    const row = pick(name);
    const dice = below(10);
    if (!row || dice < 4) db.create(name, {});
    else if (dice < 8) {
      for (const [field, link] of SCHEMAS.get(name)!.links) {
        const ref = pick(link.to)?.ref ?? NULL_REF;
        db.set(row, { [field]: link.many ? (ref === NULL_REF ? [] : [ref]) : ref });
      }
    } else db.destroy(row);
  };
  for (let i = 0; i < 300; i++) {
    try {
      db.change(() => {
        for (let n = below(6); n >= 0; n--) step();
        if (below(3) === 0) throw new RangeError('undo');
      });
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
    if (i % 20 === 0) consistent(db);
  }
  consistent(db);
});

test('an object is kept by what differs from its class, and outlives a change of what its class begins with', async (t) => {
  const path = join(folder(t), 'db');
  let db = openDatabase(path);
  const vm = db.create('VM', { name_label: 'a', other_config: { k: 'v' } });
  const { json } = vm;
  await db.close();
  const file = new DatabaseSync(path);
  const record = JSON.parse(file.prepare('SELECT record FROM object').get()!.record as string) as object;
  assert.deepEqual(Object.keys(record).sort(), ['name_label', 'other_config', 'uuid']);
  // As if an earlier version's classes had begun otherwise.
  const { defaults } = file.prepare("SELECT defaults FROM class WHERE name = 'VM'").get()!;
  const before = { ...(JSON.parse(defaults as string) as object), PV_args: 'quiet', gone: 1 };
  file.prepare("UPDATE class SET defaults = ? WHERE name = 'VM'").run(JSON.stringify(before));
  file.close();
  assert.equal(await dump(path, join(path, '..', 'dump')), 1);
  const line = JSON.parse(readFileSync(join(path, '..', 'dump'), 'utf8').split('\n')[1]) as [string, string, number, number, { PV_args: string; memory_target: number }]; // prettier-ignore
  assert.deepEqual([line[4].PV_args, line[4].memory_target], ['quiet', 0]);
  for (let i = 0; i < 2; i++) {
    db = openDatabase(path);
    assert.equal(db.row('VM', vm.ref).text('PV_args'), 'quiet');
    assert.equal(db.row('VM', vm.ref).json, json.replace('"PV_args":""', '"PV_args":"quiet"'));
    await db.close();
  }
});

test('a file of the first schema, whose objects are whole', async (t) => {
  const path = join(folder(t), 'db');
  const file = new DatabaseSync(path);
  UPGRADES[0](file);
  file.exec('PRAGMA user_version = 1');
  const record = JSON.stringify({ uuid: 'u', name_label: 'old', PV_args: 'quiet', tags: [], unknown: 1 });
  file.prepare("INSERT INTO object VALUES ('OpaqueRef:a', 'VM', 1, 2, ?)").run(record);
  file.close();
  const db = openDatabase(path);
  const vm = db.byUuid('VM', 'u');
  assert.deepEqual([vm.text('name_label'), vm.text('PV_args'), db.generation], ['old', 'quiet', 2]);
  await db.close();
});

test('a long batch is of one moment, though it is made in turns', async () => {
  const batches: Batch[] = [];
  const db = new Database({
    write: (batch) => Promise.resolve(void batches.push(batch)),
    close: () => Promise.resolve(),
  });
  // So many that the batch takes some turns.
  const count = 20_000;
  const vms = db.change(() => Array.from({ length: count }, (_, n) => db.create('VM', { name_label: String(n) })));
  let rounds = 0;
  while (batches.length === 0) {
    await new Promise((resolve) => setImmediate(resolve));
    // The last that are read: each round one change of two that belong together.
    const [a, b] = [vms[count - 1 - 2 * rounds], vms[rounds * 2]];
    db.change(() => {
      db.set(a, { name_description: String(rounds) });
      db.set(b, { name_description: String(rounds) });
    });
    if (rounds === 1) db.destroy(vms[count - 10]);
    rounds++;
  }
  assert.ok(rounds > 3, `only ${rounds} turns`);
  const [{ generation, put, remove }] = batches;
  assert.deepEqual([put.length, remove], [count, []]);
  for (const [, , , modified] of put) assert.ok(modified <= generation, 'a later change is in it');
  await db.durable();
  const later = batches.slice(1);
  // A change is in one batch with all that it has changed.
  const told = batches.map((batch) => batch.put.filter(([, , , , record]) => record.includes('name_description')));
  assert.ok(told.every(({ length }) => length % 2 === 0));
  assert.equal(told.reduce((sum, { length }) => sum + length, 0), 2 * rounds); // prettier-ignore
  assert.deepEqual(later.flatMap((batch) => batch.remove), [vms[count - 10].ref]); // prettier-ignore
});

test('the writer waits for a lock from the beginning on, and one that cannot go on says so', async (t) => {
  const path = join(folder(t), 'database');
  await openDatabase(path).close();
  const other = new DatabaseSync(path);
  other.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
  const writer = new WriterThread(path);
  const batch: Batch = { generation: 7, put: [], remove: [] };
  const written = writer.write(batch);
  await sleep(300);
  other.close();
  await written;
  await writer.close();
  await assert.rejects(writer.write(batch), /writer has ended/);
  writeFileSync(path, 'this is no database, and there is more of it than a page has'.repeat(100));
  const broken = new WriterThread(path);
  await assert.rejects(broken.write(batch), /cannot be used as a database/);
  await assert.rejects(broken.write(batch), /cannot be used as a database/);
});
