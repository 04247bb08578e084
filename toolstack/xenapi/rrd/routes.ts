/** Archives over HTTP: updates for who asks again and again, whole archives, and what is now, as OpenMetrics. */
import { Failure } from '../failure.ts';
import type { Transfer } from '../http/transfer.ts';
import { escapeXml } from '../rpc/encode.ts';
import type { Owner } from './metrics.ts';
import { turn } from '../turns.ts';
import { archiveFor, ARCHIVES, STEP, type Rrd, type Series } from './rrd.ts';

const value = (number: number): string => (Number.isFinite(number) ? String(number) : Number.isNaN(number) ? 'NaN' : number > 0 ? 'Infinity' : '-Infinity'); // prettier-ignore

async function send(transfer: Transfer, type: string, text: string): Promise<void> {
  const bytes = Buffer.from(text);
  transfer.begin(type, bytes.length);
  await transfer.write(bytes);
}

const wantsJson = (transfer: Transfer): boolean => transfer.flag('json');

/** Columns of an answer, by the names that clients take apart. */
function* columns({ xapi, query }: Transfer): Generator<[string, Series]> {
  const { metrics } = xapi;
  const [vm, sr] = [query.get('vm_uuid') ?? '', query.get('sr_uuid') ?? ''];
  const some = (owner: Owner, uuid: string): Iterable<[string, Rrd]> => {
    if (uuid === '' || uuid === 'none') return [];
    if (uuid === 'all') return metrics.of(owner);
    const rrd = metrics.find(owner, uuid);
    return rrd ? [[uuid, rrd]] : [];
  };
  const host = ['true', '1'].includes(query.get('host') ?? '') ? xapi.host.uuid : '';
  const wanted: [Owner, string][] = [
    ['vm', vm === '' ? (sr === '' ? 'all' : '') : vm],
    ['host', host],
    ['sr', sr],
  ];
  for (const [owner, which] of wanted)
    for (const [uuid, { series }] of some(owner, which))
      for (const [name, one] of series) if (one.enabled) yield [`AVERAGE:${owner}:${uuid}:${name}`, one];
}

const seconds = (transfer: Transfer, name: string): number => {
  const text = transfer.query.get(name) ?? '0';
  if (!/^-?\d{1,12}(\.\d*)?$/.test(text)) throw new Failure('INVALID_VALUE', name, text);
  return Number(text);
};

export async function rrdUpdates(transfer: Transfer): Promise<void> {
  const now = Date.now() / 1000;
  const given = seconds(transfer, 'start');
  // Before now, by so many seconds, as rrdtool has it.
  const start = given < 0 ? now + given : given;
  const which = archiveFor(start, seconds(transfer, 'interval'), now);
  const { step } = ARCHIVES[which];
  const cf = (transfer.query.get('cf') ?? 'AVERAGE').toUpperCase();
  const all = cf === 'AVERAGE' ? [...columns(transfer)] : [];
  const archives = all.map(([, series]) => series.archives[which]);
  const end = archives.reduce((last, archive) => Math.max(last, archive.end), 0);
  const kept = archives.filter((archive) => archive.end > 0);
  const first = kept.reduce((least, archive) => Math.min(least, archive.begin), end);
  const rows: number[] = [];
  for (let time = end; end > 0 && time >= first && time > start; time -= step) rows.push(time);
  const meta = { start: rows.at(-1) ?? Math.floor(start), step, end, rows: rows.length, columns: all.length };
  const pieces = (wantsJson(transfer) ? jsonUpdates : xmlUpdates)(meta, all, rows, which);
  await sendPieces(transfer, wantsJson(transfer) ? 'application/json' : 'text/xml', pieces);
}

type Columns = readonly [string, Series][];

function* jsonUpdates(meta: object, all: Columns, rows: readonly number[], which: number): Generator<string> {
  const about = Object.entries(meta).map(([name, number]) => [name, String(number)]);
  const legend = all.map(([name]) => name);
  yield `{"meta":${JSON.stringify({ ...Object.fromEntries(about), legend })},"data":[`;
  for (const [i, time] of rows.entries()) {
    yield `${i === 0 ? '' : ','}{"t":"${time}","values":[`;
    yield* parted(all, (column) => `"${value(column.archives[which].at(time))}"`, ',');
    yield ']}';
  }
  yield ']}';
}

function* xmlUpdates(meta: object, all: Columns, rows: readonly number[], which: number): Generator<string> {
  const about = Object.entries(meta).map(([name, number]) => `<${name}>${number}</${name}>`).join(''); // prettier-ignore
  yield `<xport><meta>${about}<legend>${all.map(([name]) => `<entry>${escapeXml(name)}</entry>`).join('')}</legend></meta><data>`;
  for (const time of rows) {
    yield `<row><t>${time}</t>`;
    yield* parted(all, (column) => `<v>${value(column.archives[which].at(time))}</v>`, '');
    yield '</row>';
  }
  yield '</data></xport>';
}

/** Columns of a piece. */
const COLUMNS = 1000;

function* parted(all: Columns, text: (column: Series) => string, between: string): Generator<string> {
  for (let at = 0; at < all.length; at += COLUMNS) {
    const some = all.slice(at, at + COLUMNS).map(([, column]) => text(column));
    yield `${at === 0 ? '' : between}${some.join(between)}`;
  }
}

const PIECE = 64 * 1024;

/** With its length, if it is short; others have their turn in between. */
async function sendPieces(transfer: Transfer, type: string, pieces: Iterable<string>): Promise<void> {
  let text = '';
  for (const piece of pieces) {
    text += piece;
    if (text.length >= PIECE) {
      transfer.begin(type);
      await transfer.write(Buffer.from(text));
      text = '';
    }
    await turn();
  }
  const bytes = Buffer.from(text);
  transfer.begin(type, bytes.length);
  await transfer.write(bytes);
}

/** Data sources and rows of an archive, oldest first; all of the length that the archive has in the end. */
function parts({ series }: Rrd) {
  const all = [...series.values()].filter(({ enabled }) => enabled);
  const ds = all.map(({ source: { name, kind, min, max }, last }) => ({ name, type: kind, min, max, last }));
  const rra = ARCHIVES.map(({ step, rows }, i) => {
    const archives = all.map(({ archives }) => archives[i]);
    const end = archives.reduce((last, archive) => Math.max(last, archive.end), 0);
    const times = Array.from({ length: end === 0 ? 0 : rows }, (_, row) => end - (rows - 1 - row) * step);
    return { pdp: step / STEP, rows: times.map((time) => archives.map((archive) => value(archive.at(time)))) };
  });
  return { ds, rra };
}

function xmlOf(rrd: Rrd): string {
  const { ds, rra } = parts(rrd);
  const sources = ds.map(({ name, type, min, max, last }) =>
    `<ds><name>${escapeXml(name)}</name><type>${type}</type><minimal_heartbeat>300.0</minimal_heartbeat><min>${value(min)}</min><max>${value(max)}</max><last_ds>${value(last)}</last_ds><value>0</value><unknown_sec>0</unknown_sec></ds>`); // prettier-ignore
  const archives = rra.map(({ pdp, rows }) => {
    const prep = ds.map(() => '<ds><primary_value>0.0</primary_value><secondary_value>0.0</secondary_value><value>0.0</value><unknown_datapoints>0</unknown_datapoints></ds>'); // prettier-ignore
    const database = rows.map((row) => `<row>${row.map((each) => `<v>${each}</v>`).join('')}</row>`);
    return `<rra><cf>AVERAGE</cf><pdp_per_row>${pdp}</pdp_per_row><params><xff>0.5</xff></params><cdp_prep>${prep.join('')}</cdp_prep><database>${database.join('')}</database></rra>`;
  });
  return `<?xml version="1.0"?><rrd><version>0003</version><step>${STEP}</step><lastupdate>${Math.floor(rrd.updated)}</lastupdate>${sources.join('')}${archives.join('')}</rrd>`;
}

function jsonOf(rrd: Rrd): string {
  const { ds, rra } = parts(rrd);
  return JSON.stringify({
    ...{ version: '0003', step: String(STEP), lastupdate: String(Math.floor(rrd.updated)) },
    ds: ds.map(({ name, type, min, max, last }) => ({ name, type, minimal_heartbeat: '300.0', min: value(min), max: value(max), last_ds: value(last), value: '0', unknown_sec: '0' })), // prettier-ignore
    rra: rra.map(({ pdp, rows }) => ({ cf: 'AVERAGE', pdp_per_row: String(pdp), params: { xff: '0.5' }, database: rows })), // prettier-ignore
  });
}

export const wholeRrd =
  (owner: Owner, name: string) =>
  (transfer: Transfer): Promise<void> => {
    const { metrics, host } = transfer.xapi;
    const row = owner === 'host' ? host : transfer.object(name, 'uuid', 'ref');
    const rrd = metrics.find(owner, row.uuid);
    // Nothing has been measured of it yet.
    if (!rrd) throw new Failure('HANDLE_INVALID', 'RRD', row.uuid);
    return wantsJson(transfer) ? send(transfer, 'application/json', jsonOf(rrd)) : send(transfer, 'text/xml', xmlOf(rrd)); // prettier-ignore
  };

// ---- OpenMetrics

const label = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');

/** `cpu3` is one metric with a label, so are interfaces. */
function split(name: string): { metric: string; labels: string } {
  const cpu = /^cpu(\d+)$/.exec(name);
  if (cpu) return { metric: 'cpu', labels: `,cpu="${cpu[1]}"` };
  const nic = /^vif_(\d+)_(rx|tx)$/.exec(name);
  return nic ? { metric: `vif_${nic[2]}`, labels: `,vif="${nic[1]}"` } : { metric: name, labels: '' };
}

export async function openMetrics(transfer: Transfer): Promise<void> {
  const { xapi } = transfer;
  const { db, metrics } = xapi;
  const families = new Map<string, string[]>();
  for (const [owner, name] of [['host', 'host'], ['vm', 'VM'], ['sr', 'SR']] as const) // prettier-ignore
    for (const [uuid, { series }] of metrics.of(owner)) {
      const about = `uuid="${uuid}",name="${db.hasUuid(name, uuid) ? label(db.byUuid(name, uuid).text('name_label')) : ''}"`; // prettier-ignore
      for (const [each, { last, source }] of series) {
        if (Number.isNaN(last)) continue;
        const { metric, labels } = split(each);
        const family = `xen_${owner}_${metric}`;
        const lines = families.get(family) ?? [`# TYPE ${family} gauge`, `# HELP ${family} ${source.about}, ${source.units}`]; // prettier-ignore
        lines.push(`${family}{${about}${labels}} ${last}`);
        families.set(family, lines);
      }
      await turn();
    }
  const lines = function* (): Generator<string> {
    for (const family of families.values()) yield `${family.join('\n')}\n`;
    yield '# EOF\n';
  };
  await sendPieces(transfer, 'application/openmetrics-text; version=1.0.0; charset=utf-8', lines());
}
