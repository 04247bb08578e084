import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';

/** A file system of one's own, for which no root is needed. */
test('a host whose disk is full: imports fail with nothing left of them, nothing is acknowledged that is not written, and it goes on', () => {
  const script = join(import.meta.dirname, 'full.ts');
  const { status, stderr, stdout } = spawnSync('unshare', ['-Urm', process.execPath, script], { encoding: 'utf8', timeout: 60_000 }); // prettier-ignore
  assert.equal(status, 0, stderr);
  assert.equal(stdout, 'told, left nothing, goes on\n');
});
