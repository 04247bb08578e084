import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { test } from 'node:test';
import { buildGuest, guestNames } from './build.ts';

for (const name of guestNames()) {
  test(`${name} builds into an ELF image with the note of its entry, once`, () => {
    const path = buildGuest(name);
    const image = readFileSync(path);
    assert.equal(image.toString('latin1', 0, 4), '\x7fELF');
    // XEN_ELFNOTE_PHYS32_ENTRY, or of a PV guest XEN_ELFNOTE_ENTRY
    const type = { pv: '0800000001000000', pv32: '0400000001000000' }[name] ?? '0400000012000000';
    const note = Buffer.from(`04000000${type}` + Buffer.from('Xen\0').toString('hex'), 'hex');
    assert.ok(image.includes(note));
    const { mtimeMs } = statSync(path);
    assert.equal(buildGuest(name), path);
    assert.equal(statSync(path).mtimeMs, mtimeMs);
  });
}

test('an unknown guest is refused', () => {
  assert.throws(() => buildGuest('../../etc/passwd'), /there is no guest/);
});
