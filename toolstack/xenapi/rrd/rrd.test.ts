import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { bed, listen, VM_RECORD, type Bed } from '../testing.ts';
import { Metrics } from './metrics.ts';
import { archiveFor, Rrd, type Source } from './rrd.ts';

const SOURCE: Source = { name: 'x', about: 'a value', units: 'B', min: 0, max: Infinity, kind: 'GAUGE' };

test('archives: fine for a short time, means of it for longer, and nothing for when nothing was measured', () => {
  const rrd = new Rrd();
  const begin = 1_000_000 * 86400;
  for (let time = 5; time <= 2 * 3600; time += 5) {
    // A break of a quarter of an hour.
    if (time > 3600 && time <= 4500) continue;
    rrd.put(begin + time, SOURCE, time <= 3600 ? 10 : time);
  }
  const [fine, minute, hour] = rrd.series.get('x')!.archives;
  assert.equal(fine.end, begin + 7195);
  assert.equal(fine.at(fine.end), 7195);
  assert.ok(Number.isNaN(fine.at(fine.end - 120 * 5)), 'ten minutes and no more');
  assert.equal(fine.at(fine.end - 119 * 5), 7195 - 119 * 5);
  assert.equal(minute.at(begin + 60), 10);
  assert.ok(Number.isNaN(minute.at(begin + 3660)));
  // A row's time is its end.
  assert.equal(minute.at(begin + 7140), (7085 + 7140) / 2);
  assert.equal(hour.at(begin + 3600), 10);
  assert.deepEqual([archiveFor(900, 0, 1000), archiveFor(0, 0, 1000), archiveFor(999, 60, 1000), archiveFor(0, 0, 1e9)], [0, 1, 1, 3]); // prettier-ignore
});

async function get(
  t: TestContext,
  server: Bed,
): Promise<(path: string) => Promise<{ status: number; body: string; type: string }>> {
  const port = await listen(t, server);
  return (path) =>
    new Promise((resolve, reject) => {
      const whole = `${path}${path.includes('?') ? '&' : '?'}session_id=${server.session}`;
      request({ host: '127.0.0.1', port, path: whole, agent: false }, (response) => {
        const { statusCode: status, headers } = response;
        text(response).then((body) => resolve({ status: status!, body, type: headers['content-type']! }), reject);
      })
        .on('error', reject)
        .end();
    });
}

test('what a host and its machines use, as updates, whole archives and OpenMetrics', async (t) => {
  const server = await bed(t);
  const { call, simulator, xapi } = server;
  const ask = await get(t, server);
  const vm: string = await call('VM.create', { ...VM_RECORD, name_label: 'a "name"' });
  await assert.rejects(call('VM.query_data_source', vm, 'memory'), { code: 'VM_BAD_POWER_STATE' });
  await call('VM.start', vm, false, false);
  const uuid: string = await call('VM.get_uuid', vm);
  simulator.onGuest(uuid, new Map([['data/meminfo_free', '1000']]));
  // Half of the time that passes.
  let ran = 0;
  simulator.cpuSeconds = () => [ran, 2 * ran];
  simulator.traffic = () => Promise.resolve(new Map([[uuid, [{ device: 0, rx: 1000 * ran, tx: 0 }]]]));
  const now = Math.floor(Date.now() / 5000) * 5;
  for (let i = 0; i < 4; i++) {
    await xapi.metrics.measure(now - 15 + i * 5);
    ran += 2.5;
  }
  interface Updates {
    meta: { legend: string[]; rows: string; columns: string; step: string; end: string };
    data: { t: string; values: string[] }[];
  }
  const { body, type } = await ask(`/rrd_updates?start=${now - 60}&host=true&json=true`);
  assert.equal(type, 'application/json');
  const { meta, data } = JSON.parse(body) as Updates;
  assert.deepEqual([meta.rows, meta.columns, meta.step], [String(data.length), String(meta.legend.length), '5']);
  const column = (name: string) => data.map(({ values }) => values[meta.legend.indexOf(name)]);
  // The newest first; the first of all has nothing to compare with.
  assert.deepEqual(column(`AVERAGE:vm:${uuid}:cpu0`), ['0.5', '0.5', 'NaN']);
  assert.deepEqual(column(`AVERAGE:vm:${uuid}:cpu1`), ['1', '1', 'NaN']);
  assert.deepEqual(column(`AVERAGE:vm:${uuid}:vif_0_rx`), ['500', '500', 'NaN']);
  assert.deepEqual(column(`AVERAGE:vm:${uuid}:memory`), Array(3).fill(String(2 ** 28)));
  assert.deepEqual(column(`AVERAGE:vm:${uuid}:memory_internal_free`), Array(3).fill('1000'));
  const host = xapi.host.uuid;
  assert.ok(Number(column(`AVERAGE:host:${host}:memory_total_kib`)[0]) > 0);
  assert.ok(Number(column(`AVERAGE:host:${host}:xapi_memory_usage_kib`)[0]) > 10_000);
  assert.equal(column(`AVERAGE:host:${host}:running_domains`)[0], '1');
  const xml = (await ask(`/rrd_updates?start=${now - 60}&vm_uuid=${uuid}`)).body;
  assert.match(xml, new RegExp(`^<xport><meta>.*<entry>AVERAGE:vm:${uuid}:cpu0</entry>.*<data><row><t>${now - 5}</t><v>0.5</v>`)); // prettier-ignore
  assert.doesNotMatch(xml, /AVERAGE:host/);
  const whole = (await ask(`/vm_rrd?uuid=${uuid}`)).body;
  assert.match(whole, /<ds><name>cpu0<\/name><type>DERIVE<\/type>/);
  assert.equal([...whole.matchAll(/<rra>/g)].length, 4);
  const { rra } = JSON.parse((await ask('/host_rrd?json=true')).body) as { rra: { database: string[][] }[] };
  assert.equal(rra[0].database.length, 120);
  assert.equal((await ask('/vm_rrd?uuid=none')).status, 404);
  const open = await ask('/metrics');
  assert.match(open.type, /^application\/openmetrics-text/);
  assert.match(open.body, new RegExp(`\nxen_vm_cpu{uuid="${uuid}",name="a \\\\"name\\\\"",cpu="0"} 0.5\n`));
  assert.match(open.body, /\n# EOF\n$/);
  // The same by messages.
  const sources = (await call('VM.get_data_sources', vm)) as { name_label: string; value: number; enabled: boolean }[];
  assert.equal(sources.find(({ name_label }) => name_label === 'cpu0')!.value, 0.5);
  // Whatever is told can be written in both protocols.
  for (const each of sources) for (const value of Object.values(each)) assert.ok(typeof value !== 'number' || Number.isFinite(value)); // prettier-ignore
  assert.equal(await call('VM.query_data_source', vm, 'memory'), 2 ** 28);
  await call('VM.forget_data_source_archives', vm, 'memory');
  assert.doesNotMatch((await ask(`/rrd_updates?start=${now - 60}`)).body, /:memory</);
  await call('VM.record_data_source', vm, 'memory');
  await xapi.metrics.measure(now + 5);
  await xapi.metrics.measure(now + 10);
  assert.match((await ask(`/rrd_updates?start=${now - 60}`)).body, /:memory</);
  await assert.rejects(call('host.query_data_source', xapi.hostRef, 'none'), { code: 'INVALID_VALUE' });
  await call('VM.hard_shutdown', vm);
  await call('VM.destroy', vm);
  await xapi.metrics.measure(now + 15);
  assert.equal((await ask(`/vm_rrd?uuid=${uuid}`)).status, 404);
});

test('archives outlive the host, but not what they are of', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'xenapi-rrd-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const { call, xapi } = await bed(t, { folder });
  const vm: string = await call('VM.create', VM_RECORD);
  await call('VM.start', vm, false, false);
  const uuid: string = await call('VM.get_uuid', vm);
  const now = Math.floor(Date.now() / 5000) * 5;
  for (const back of [15, 10, 5, 0]) await xapi.metrics.measure(now - back);
  const files = (): string[] => readdirSync(join(folder, 'rrds')).toSorted();
  assert.deepEqual(files(), []);
  await call('host.backup_rrds', xapi.hostRef, 0.01);
  assert.deepEqual(files(), [`host-${xapi.host.uuid}.json`, `vm-${uuid}.json`]);
  const again = new Metrics(xapi, join(folder, 'rrds'));
  const [before, after] = [xapi.metrics, again].map((each) => each.find('vm', uuid)!.series.get('memory')!.archives[0]);
  assert.deepEqual([after.end, after.at(now - 5)], [before.end, 2 ** 28]);
  // What comes now is added, with a gap for when there was nobody to measure.
  for (const more of [60, 65]) await again.measure(now + more);
  assert.equal(after.at(now + 60), 2 ** 28);
  assert.ok(Number.isNaN(after.at(now + 30)));
  assert.equal(after.at(now - 5), 2 ** 28);
  await again.close();
  writeFileSync(join(folder, 'rrds', `host-${xapi.host.uuid}.json`), '{"version":1,"rrd":');
  assert.equal(new Metrics(xapi, join(folder, 'rrds')).find('host', xapi.host.uuid), undefined);
  await call('VM.hard_shutdown', vm);
  await call('VM.destroy', vm);
  await xapi.metrics.measure(now + 70);
  assert.ok(!files().includes(`vm-${uuid}.json`));
  await assert.rejects(call('host.backup_rrds', xapi.hostRef, -1), { code: 'INVALID_VALUE' });
});

test('data sources of hosts and storage are recorded, asked and forgotten', async (t) => {
  const { call, xapi } = await bed(t);
  const sr = xapi.db.create('SR', { name_label: 's', type: 'file', physical_size: 1000, physical_utilisation: 10 });
  const now = Math.floor(Date.now() / 5000) * 5;
  for (const back of [10, 5, 0]) await xapi.metrics.measure(now - back);
  const check = async (
    [get, query, forget, record]: string[],
    { ref, uuid }: { ref: string; uuid: string },
    owner: 'sr' | 'host',
    source: string,
    value: number,
  ): Promise<void> => {
    const sources: { name_label: string; enabled: boolean }[] = await call(get, ref);
    assert.equal(sources.find(({ name_label }) => name_label === source)!.enabled, true);
    assert.equal(await call(query, ref, source), value);
    const series = xapi.metrics.find(owner, uuid)!.series.get(source)!;
    assert.equal(series.archives[0].end, now - 5);
    await call(forget, ref, source);
    assert.deepEqual([series.archives[0].end, series.enabled], [0, false]);
    await call(record, ref, source);
    assert.equal(series.enabled, true);
  };
  const ofSr = ['SR.get_data_sources', 'SR.query_data_source', 'SR.forget_data_source_archives', 'SR.record_data_source']; // prettier-ignore
  await check(ofSr, sr, 'sr', 'physical_utilisation', 10);
  const ofHost = ['host.get_data_sources', 'host.query_data_source', 'host.forget_data_source_archives', 'host.record_data_source']; // prettier-ignore
  await check(ofHost, xapi.host, 'host', 'running_domains', 0);
});
