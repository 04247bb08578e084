// No message answers success without doing its work: each is called with arguments made from their types, on a host that has one of
// everything, and whatever answers success has to have changed something. That it is the right thing is for the test that names it.
import assert from 'node:assert/strict';
import { globSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { CLASSES } from '../../spec/xenapi/index.ts';
import type { Message } from '../../spec/xenapi/notation.ts';
import { Failure } from './failure.ts';
import { HANDLERS } from './handlers.ts';
import { refusals } from './refusals.ts';
import { bed, diskRecord, driveRecord, VM_RECORD, type Bed } from './testing.ts';
import { argumentsOf } from './testing_arguments.ts';

/** These only answer. */
const ASKS =
  /^(get_|query_|compute_|assert_|list_|probe|has_extension|ha_compute|ha_failover_plan_exists|maximise_memory|dmesg$|certificate_list|crl_list|gc_stats|db_stats|network_stats|get$|detect_|recover_slaves|inject|from|next|export)/;

/** What they change is none of what is looked at here, or it is as they want it already; the test that looks at it. */
const ELSEWHERE: Record<string, string> = {
  'Diagnostics.gc_compact': 'memory: host/maintenance.test.ts',
  'SR.update': 'as it is: SR/settings.test.ts',
  'SR.scan': 'as it is: SR/SR.test.ts',
  'VDI.update': 'as it is: SR/settings.test.ts',
  'VM.update_allowed_operations': 'as they are: VM/settings.test.ts',
  'VMSS.set_schedule': 'as it is by default: VMSS/VMSS.test.ts',
  'message.destroy_many': 'there is none left: message/message.test.ts',
  'event.register': 'what is told later: event/event.test.ts',
  'event.unregister': 'what is told later: event/event.test.ts',
  'host.emergency_clear_mandatory_guidance': 'there is none: host/maintenance.test.ts',
  'host.disable_local_storage_caching': 'there is none: host/maintenance.test.ts',
  'host.refresh_pack_info': 'as it is: host/maintenance.test.ts',
  'host.sync_data': 'the disk: host/host.test.ts',
  'host.syslog_reconfigure': 'where the log goes: host/maintenance.test.ts',
  'pool.certificate_sync': 'as they are: host/certificates.test.ts',
  'pool.designate_new_master': 'it is: host/host.test.ts',
  'pool.disable_client_certificate_auth': 'nobody may: host/maintenance.test.ts',
  'pool.disable_local_storage_caching': 'there is none: host/maintenance.test.ts',
  'pool.disable_repository_proxy': 'there is none: pool/pool.test.ts',
  'pool.enable_tls_verification': 'it is: host/certificates.test.ts',
  'pool.sync_database': 'the disk: host/host.test.ts',
  'PBD.plug': 'it is plugged: SR/settings.test.ts',
  'PIF.plug': 'it is plugged: PIF/PIF.test.ts',
  'PIF.scan': 'as it is: PIF/PIF.test.ts',
  'VM.copy_bios_strings': 'the host has none: VM/settings.test.ts',
  'VM.wait_memory_target_live': 'it waits: messages.test.ts',
  'session.change_password': 'the password: session/session.test.ts',
  'session.logout_subject_identifier': 'there is nobody: session/session.test.ts',
};

const CHANGES = [
  ...['start', 'pause', 'unpause', 'ask', 'destroy', 'setMemoryTarget', 'setVcpus', 'schedule', 'setAgentFeatures'],
  ...['setAddress', 'plugNic', 'unplugNic', 'plugDisk', 'unplugDisk', 'changeCd', 'sysrq', 'trigger', 'debugKeys'],
] as const;

interface World extends Bed {
  /** Differs when anything is different. */
  state(): string;
}

async function world(t: TestContext): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), 'xenapi-effects-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const server = await bed(t, { storage: join(folder), folder: join(folder, '.server'), obeysAfter: 0 });
  const { call, xapi, simulator } = server;
  Object.assign(xapi, { blobs: join(folder, '.blobs') });
  let calls = 0;
  for (const name of CHANGES) {
    const act = (simulator[name] as (...args: never[]) => unknown).bind(simulator);
    Object.assign(simulator, { [name]: (...args: never[]) => (calls++, act(...args)) });
  }
  const files = (): string[] =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((each) => each.isFile())
      .map((each) => `${each.name} ${statSync(join(each.parentPath, each.name)).mtimeMs}`);
  const passwords = (): string => JSON.stringify([...xapi.users.names]);
  const state = (): string => JSON.stringify([xapi.db.generation, calls, files(), passwords(), simulator.dmesg(false)]);

  const sr: string = await call('pool.get_default_SR', xapi.pool.ref);
  const network: string = await call('network.create', { name_label: 'n', name_description: '', MTU: 1500, other_config: {} }); // prettier-ignore
  const vm: string = await call('VM.create', { ...VM_RECORD, VCPUs_max: 2 });
  await call('VBD.create', driveRecord(vm, await call('VDI.create', diskRecord(sr, 2 ** 20))));
  await call('VIF.create', { device: '0', network, VM: vm, MAC: '', MTU: 1500, other_config: {}, qos_algorithm_type: '', qos_algorithm_params: {} }); // prettier-ignore
  await call('PIF.scan', xapi.hostRef);
  const appliance: string = await call('VM_appliance.create', { name_label: 'a', name_description: '' });
  const vmss: string = await call('VMSS.create', { name_label: 's', name_description: '', enabled: true, type: 'snapshot', retained_snapshots: 3, frequency: 'daily', schedule: {} }); // prettier-ignore
  xapi.db.set(xapi.db.row('VM', vm), { appliance, snapshot_schedule: vmss });
  await call('message.create', 'm', 1, 'VM', xapi.db.row('VM', vm).uuid, '');
  await call('blob.create', '', false);
  await call('secret.create', { value: 'x', other_config: {} });
  await call('task.create', 'mine', '');
  await call('Caller.create', 'c', '', 'x', '');
  await call('Rate_limit.create', { client_id: 'x', burst_size: 1, fill_rate: 1 });
  await call('SDN_controller.introduce', 'ssl', '192.0.2.1', 0);
  await xapi.metrics.measure(Date.now() / 1000);
  return { ...server, state };
}

/** A setting that is as it was to be, and what was to be taken out of a list or put into it and is not or is. */
function holds(server: World, message: Message, params: unknown[]): boolean {
  const [act, field] = [/^(set|add_to|remove_from|add|remove)_(.*)$/.exec(message.name)?.[1], message.name.replace(/^(set|add_to|remove_from|add|remove)_/, '')]; // prettier-ignore
  const row = act && server.xapi.db.find(message.class, params[0] as string);
  const now = row ? (row.fields[field] ?? row.fields[`${field}s`]) : undefined;
  if (now === undefined) return false;
  const there = Array.isArray(now)
    ? now.includes(params[1] as string)
    : Object.hasOwn(now as object, String(params[1]));
  if (act === 'set') return JSON.stringify(now) === JSON.stringify(params.at(-1));
  return act!.startsWith('remove') ? !there : there;
}

async function tryOne(server: World, message: Message): Promise<'failed' | 'changed' | 'nothing'> {
  const name = `${message.class}.${message.name}`;
  const params = argumentsOf(server, message);
  const before = server.state();
  try {
    await server.call(name, ...params);
  } catch (error) {
    assert.ok(error instanceof Failure, `${name}: ${(error as Error).stack}`);
    assert.notEqual(error.code, 'INTERNAL_ERROR', `${name}: ${error.message}`);
    return 'failed';
  }
  return server.state() === before && !holds(server, message, params) ? 'nothing' : 'changed';
}

const working = [...CLASSES.values()].flatMap(({ messages }) =>
  [...messages.values()].filter((message) => {
    const name = `${message.class}.${message.name}`;
    return Object.hasOwn(HANDLERS, name) && !Object.hasOwn(refusals, name);
  }),
);
const nameOf = (message: Message): string => `${message.class}.${message.name}`;

/** What they do depends on whether their machine runs. */
const LIVE = new Set(['VM', 'VBD', 'VDI', 'VIF', 'VM_appliance', 'host', 'network']);

test('whatever answers success has done something', async (t) => {
  const idle: string[] = [];
  let changed = 0;
  for (const of of new Set(working.map((each) => each.class))) {
    // What ends the caller's own session comes without one.
    const all = working.filter((each) => each.class === of && each.session && !ASKS.test(each.name) && !/logout$/.test(each.name)); // prettier-ignore
    for (const running of LIVE.has(of) ? [false, true] : [false]) {
      const server = await world(t);
      const [vm] = [...server.xapi.db.table('VM').values()].filter((row) => !row.flag('is_control_domain'));
      if (running) await server.call('VM.start', vm.ref, false, false);
      // What takes things away comes last.
      const last = (each: Message): number => (/destroy|forget|remove|shutdown|reset|eject/.test(each.name) ? 1 : 0);
      for (const message of all.toSorted((a, b) => last(a) - last(b))) {
        const what = await tryOne(server, message);
        if (what === 'changed') changed++;
        if (what === 'nothing') idle.push(nameOf(message));
      }
      await server.xapi.close();
    }
  }
  const unexplained = [...new Set(idle)].filter((name) => !Object.hasOwn(ELSEWHERE, name));
  assert.deepEqual(unexplained, []);
  const stale = Object.keys(ELSEWHERE).filter((name) => !idle.includes(name));
  assert.deepEqual(stale, [], 'these need no explanation any more');
  assert.ok(changed > 150, `only ${changed} have changed something`);
});

test('each message that does its work is named by a test', () => {
  const root = new URL('../..', import.meta.url).pathname;
  const files = globSync(['toolstack/xenapi/**/*.test.ts', 'test/**/*.ts'], { cwd: root });
  const others = files.filter((path) => !path.endsWith('effects.test.ts'));
  const text = others.map((path) => readFileSync(join(root, path), 'utf8')).join('\n');
  const called = new Set(text.match(/\b\w+\.\w+\b/g));
  assert.deepEqual(
    working.map(nameOf).filter((name) => !called.has(name)),
    [],
  );
});
