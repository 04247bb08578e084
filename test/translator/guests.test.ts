// The guest whose hot code changes under the translator, with time from the instruction count: it is translated whatever the host does meanwhile.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { buildGuest } from '../../guests/build.ts';
import { LOG_CONSOLE } from '../../core/hypervisor/log_codes.ts';
import { loadCore } from '../../platform/core.ts';
import { Machine } from '../../platform/machine.ts';
import { regionCounts } from '../../platform/regions.ts';
import { buildDomain } from '../../services/domain_builder/protocol/index.ts';
import { consoleText, LogReader } from '../../services/report/log_reader.ts';
import { Host } from '../../services/xenops/host.ts';

const MIB = 1 << 20;

test('hot code that changes, moves, or is run by somebody else', async (t) => {
  const plan = buildDomain({ kernel: readFileSync(buildGuest('asm/translated')), cmdline: '', memory: 64 * MIB });
  const machine = new Machine({ memory: 72 * MIB, deterministic: true }, loadCore());
  const host = new Host(machine);
  const guest = host.create({ name: 'test', plan, memoryKib: 64 * 1024, vcpus: 1, console: { write: () => {} } });
  await host.run(() => guest.outcome !== null, AbortSignal.timeout(120_000));
  const log = new LogReader(machine).read().map((r) => (r?.type === LOG_CONSOLE ? consoleText(r) : '')).join(''); // prettier-ignore
  const counts = regionCounts(machine.core, 0);
  await host.stop();
  assert.equal(guest.outcome, 'poweroff', log.slice(-400));
  assert.deepEqual(log.match(/^FAIL .*/gm) ?? [], []);
  t.diagnostic(`${log.match(/^ok /gm)?.length ?? 0} checks hold; ${JSON.stringify(counts)}`);
  assert.ok(counts.installed > 4 && counts.retired > 10_000_000, 'hot code was not translated');
});
