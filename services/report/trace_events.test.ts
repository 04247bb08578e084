import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { TraceEvents } from './trace_events.ts';

const folder = mkdtempSync(join(tmpdir(), 'xenolith-trace-'));
after(() => rmSync(folder, { recursive: true }));

test('a closed file is JSON; one that was broken off needs only its bracket', () => {
  const path = join(folder, 'trace.json');
  const events = new TraceEvents(path);
  const track = { process: 'domain 1', thread: 'vCPU 0' };
  events.span(track, { name: 'a "quoted" name', start: 1500, duration: 250, args: { n: 1 } });
  events.instant(track, 'x', 2000);
  events.span({ process: 'domain 1', thread: 'vCPU 1' }, { name: 'b', start: 1, duration: -1 });
  events.flush();
  const brokenOff = JSON.parse(`${readFileSync(path, 'utf8').replace(/,\n$/, '')}]`) as Record<string, unknown>[];
  events.close();
  events.close();
  events.instant(track, 'late', 3000);
  const all = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>[];
  assert.equal(all.length, brokenOff.length + 1);
  const span = all.find((e) => e.ph === 'X')!;
  assert.deepEqual(span, { name: 'a "quoted" name', ph: 'X', ts: 1.5, dur: 0.25, args: { n: 1 }, pid: 1, tid: 1 });
  assert.equal(all.find((e) => e.name === 'b')!.dur, 0);
  const names = all.filter((e) => e.name === 'thread_name').map((e) => (e.args as { name: string }).name);
  assert.deepEqual(names, ['vCPU 0', 'vCPU 1']);
});
