/** Files that go between the client and the host: the client is told to send or to fetch one over HTTP. */
import { NULL_REF } from '../../../../spec/xenapi/types.ts';
import type { Row } from '../../database/row.ts';
import { Failure } from '../../failure.ts';
import { CliFailure, mapOf } from '../arguments.ts';
import type { Command } from '../protocol.ts';
import type { Shell } from '../shell.ts';
import { snapshotOf } from './snapshot.ts';

/** When a client has failed, the host gets this long to say why. */
const REASON_MS = 1000;
/** References to what a task has made, in its result. */
const REFS = /OpaqueRef:[0-9a-f-]+/g;

type Query = Record<string, string | boolean | number>;

const url = (path: string, query: Query): string =>
  `${path}?${Object.entries(query)
    .map(([key, value]) => `${key}=${encodeURIComponent(String(value)).replaceAll('%3A', ':')}`)
    .join('&')}`;

/** A task of the transfer, which goes with it. */
async function withTask<T>(shell: Shell, label: string, about: string, act: (task: Row) => Promise<T>): Promise<T> {
  const given = shell.get('task-uuid');
  if (given !== undefined) return act(shell.row('task', await shell.byUuid('task', given)));
  const task = shell.row('task', (await shell.call('task.create', label, about)) as string);
  try {
    return await act(task);
  } finally {
    if (!task.gone) shell.xapi.tasks.destroy(task);
  }
}

async function showProgress(shell: Shell, task: Row, end: AbortSignal): Promise<void> {
  let shown = '';
  const line = (): string => {
    const part = Math.max(0, Math.min(1, task.number('progress')));
    return `\r ${String(Math.floor(part * 100)).padStart(3)}% ${'#'.repeat(Math.floor(part * 70))}`;
  };
  while (!end.aborted && !task.gone) {
    const now = line();
    if (now !== shown) await shell.printError(now);
    shown = now;
    await shell.until(() => task.gone || line() !== shown, end);
  }
  await shell.printError('\n');
}

/** Tells the client to transfer; what the host says of it counts, if it says something. */
async function carry(shell: Shell, task: Row, command: Command): Promise<void> {
  const end = new AbortController();
  const shown = shell.flag('progress') ? showProgress(shell, task, end.signal) : undefined;
  try {
    await shell.send(command);
    const done = await shell.response();
    const { signal } = shell.origin;
    await shell.waitFor(task.ref, done ? signal : AbortSignal.any([signal, AbortSignal.timeout(REASON_MS)]));
    if (!done) throw new Failure('CLIENT_ERROR');
  } finally {
    end.abort();
    await shown;
  }
}

function querySession(shell: Shell, task: Row): Query {
  return { session_id: shell.session, task_id: task.ref };
}

async function exportVm(shell: Shell, vm: Row, file: string): Promise<void> {
  const metadata = shell.flag('metadata');
  await withTask(shell, 'Export of VM', vm.uuid, async (task) => {
    const query: Query = {
      ...querySession(shell, task),
      ref: vm.ref,
      use_compression: shell.get('compress') ?? 'false',
      preserve_power_state: shell.flag('preserve-power-state'),
      export_snapshots: shell.flag('include-snapshots'),
    };
    if (metadata) query.excluded_device_types = shell.get('excluded-device-types') ?? '';
    await carry(shell, task, { kind: 'HttpGet', file, url: url(metadata ? '/export_metadata' : '/export', query) });
    if (file !== '') await shell.print('Export succeeded');
  });
}

async function importVm(shell: Shell): Promise<void> {
  const sr = shell.has('sr-uuid') ? await shell.named('SR', 'sr-uuid') : shell.xapi.pool.text('default_SR');
  if (sr === NULL_REF) throw new CliFailure('No SR specified and Pool default SR is null');
  const [from, file] = [shell.get('url'), shell.get('filename')];
  if ((from === undefined) === (file === undefined))
    return shell.fail("One of the parameters 'filename' and 'url' is needed, and one only.");
  const flags = { restore: shell.flag('preserve'), force: shell.flag('force'), dry_run: shell.flag('dry-run') };
  if (from !== undefined) {
    const made = (await shell.call('VM.import', from, sr, flags.restore, flags.force)) as string[];
    return shell.print(made.map((ref) => shell.row('VM', ref).uuid).join(','));
  }
  await withTask(shell, 'VM import', '', async (task) => {
    const metadata = shell.flag('metadata');
    if (flags.dry_run && !metadata) return shell.fail('Only metadata import function support dry-run');
    const vdis = Object.entries(mapOf(shell.params, 'vdi')).map(([uuid, to]) => [`vdi:${uuid}`, to]);
    const query = { ...querySession(shell, task), ...flags, sr_id: sr, ...Object.fromEntries(vdis) } as Query;
    const path = metadata ? '/import_metadata' : '/import';
    await carry(shell, task, { kind: 'HttpPut', file: file!, url: url(path, query) });
    const made = task.text('result').match(REFS) ?? [];
    await shell.print(made.map((ref) => shell.xapi.db.find('VM', ref)?.uuid ?? ref).join(','));
  });
}

async function vdi(shell: Shell, kind: 'HttpGet' | 'HttpPut'): Promise<void> {
  const ref = await shell.named('VDI');
  const [format, base] = [shell.get('format'), shell.get('base')];
  const label = kind === 'HttpPut' ? 'VDI import' : 'VDI export';
  await withTask(shell, label, '', async (task) => {
    const query: Query = { ...querySession(shell, task), vdi: ref };
    if (format !== undefined) query.format = format;
    if (base !== undefined) query.base = base;
    const path = kind === 'HttpPut' ? '/import_raw_vdi' : '/export_raw_vdi';
    await carry(shell, task, { kind, file: shell.needed('filename'), url: url(path, query) });
  });
}

/** Other files that a host has or takes. */
const file =
  (kind: 'HttpGet' | 'HttpPut', path: string, label: string, param = 'file-name') =>
  (shell: Shell): Promise<void> =>
    withTask(shell, label, '', (task) =>
      carry(shell, task, { kind, file: shell.get(param) ?? '', url: url(path, querySession(shell, task)) }),
    );

async function ofKind(shell: Shell, what: 'template' | 'snapshot'): Promise<Row> {
  if (what === 'snapshot') return snapshotOf(shell);
  const row = shell.row('VM', await shell.named('VM', 'template-uuid'));
  if (row.flag('is_a_template')) return row;
  throw new CliFailure(`This operation can only be performed on a VM template. ${row.uuid} is not a VM template.`);
}

const exported = new WeakMap<Shell, number>();
/** With several VMs the second's file has a 2 behind its name, and so on. */
function nextFile(shell: Shell): string {
  const number = (exported.get(shell) ?? 0) + 1;
  exported.set(shell, number);
  const name = shell.needed('filename');
  return number > 1 ? `${name}${number}` : name;
}

export const transfer = {
  'vm-export': (shell: Shell, vm: Row) => exportVm(shell, vm, nextFile(shell)),
  'vm-import': importVm,
  'template-export': async (shell: Shell) => exportVm(shell, await ofKind(shell, 'template'), shell.needed('filename')),
  'snapshot-export-to-template': async (shell: Shell) =>
    exportVm(shell, await ofKind(shell, 'snapshot'), shell.needed('filename')),
  'vdi-import': (shell: Shell) => vdi(shell, 'HttpPut'),
  'vdi-export': (shell: Shell) => vdi(shell, 'HttpGet'),
  'pool-dump-database': file('HttpGet', '/pool/xmldbdump', 'dump database'),
  'pool-restore-database': (shell: Shell) => {
    if (!shell.flag('dry-run')) shell.mustForce();
    return file('HttpPut', '/pool/xmldbdump', 'restore database')(shell);
  },
  'host-logs-download': file('HttpGet', '/host_logs_download', 'host logs download'),
  'host-backup': file('HttpGet', '/host_backup', 'host backup download'),
  'host-restore': file('HttpPut', '/host_restore', 'host backup upload'),
  'patch-upload': file('HttpPut', '/pool_patch_upload', 'patch upload'),
  'update-upload': file('HttpPut', '/import_raw_vdi', 'update upload'),
};
