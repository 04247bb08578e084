import assert from 'node:assert/strict';
import { getPriority } from 'node:os';
import { test } from 'node:test';
import { compilers, COMPILERS_NICE, yieldCompilers } from './compilers.ts';

test(
  "V8's threads are put below the process's others, once and again",
  { skip: process.platform !== 'linux' && 'threads have no priorities' },
  () => {
    const own = getPriority(process.pid);
    for (let i = 0; i < 2; i++) {
      yieldCompilers();
      const found = compilers();
      assert.ok(found.length > 0);
      for (const tid of found) assert.equal(getPriority(tid), Math.max(own, COMPILERS_NICE));
      assert.equal(getPriority(process.pid), own);
    }
  },
);
