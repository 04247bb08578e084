/** Messages of VMs that are rare: firmware variables, protection, waiting, import from elsewhere. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../failure.ts';
import type { Caller, Handler, Handlers } from '../messages.ts';
import { ask, serverUrl, takeCredentials } from '../http/outgoing.ts';
import { importFrom } from '../xva/import.ts';
import { assertAllowed } from './operations.ts';

const WAIT_MS = 256_000;
/** A guest is where it should be when it is so near. */
const NEAR = 2 ** 20;

/** Changes the map, while the VM is off. */
const nvram =
  (change: (now: Record<string, string>, args: Parameters<Handler>[0]) => Record<string, string>): Handler =>
  (args, { xapi }) => {
    const vm = args.row('self');
    assertAllowed(vm, 'changing_NVRAM');
    xapi.db.set(vm, { NVRAM: change(vm.map('NVRAM'), args) });
  };

async function fetchVm(args: Parameters<Handler>[0], { xapi, task, signal }: Caller): Promise<string[]> {
  const url = serverUrl(args.text('url'));
  if (!url) throw new Failure('INVALID_VALUE', 'url', args.text('url'));
  const headers = takeCredentials(url);
  const ends = AbortSignal.any([task.signal, signal]);
  const response = await ask(xapi, url, { method: 'GET', headers, signal: ends }).catch((error: Error) => {
    task.checkCancelled();
    throw new Failure('IMPORT_ERROR', `${url.host} does not answer: ${error.message}`);
  });
  const { statusCode, headers: told } = response;
  if (statusCode !== 200) {
    response.destroy();
    throw new Failure('IMPORT_ERROR', `${url.host} answers ${statusCode}`);
  }
  const upload = { length: Number(told['content-length']) || undefined, received: 0 };
  const body = response as AsyncIterable<Buffer>;
  const counted = async function* (): AsyncGenerator<Buffer> {
    for await (const bytes of body) {
      upload.received += bytes.length;
      yield bytes;
    }
  };
  const options = { restore: args.flag('full_restore'), force: args.flag('force'), sr: args.rowOrNull('sr') };
  return (await importFrom({ xapi, task, upload }, counted(), options)).map(({ ref }) => ref);
}

export const more: Handlers = {
  'VM.set_NVRAM': nvram((_now, args) => args.map('value')),
  'VM.add_to_NVRAM': nvram((now, args) => {
    const key = args.text('key');
    if (Object.hasOwn(now, key)) throw new Failure('MAP_DUPLICATE_KEY', 'VM', 'NVRAM', args.row('self').ref, key);
    return { ...now, [key]: args.text('value') };
  }),
  'VM.remove_from_NVRAM': nvram((now, args) => Object.fromEntries(Object.entries(now).filter(([key]) => key !== args.text('key')))), // prettier-ignore
  'VM.set_ha_restart_priority': (args, { xapi }) => {
    const value = args.text('value');
    if (!['', 'restart', 'best-effort'].includes(value))
      throw new Failure('INVALID_VALUE', 'ha_restart_priority', value);
    xapi.db.set(args.row('self'), { ha_restart_priority: value, ha_always_run: value === 'restart' });
  },
  'VM.set_ha_always_run': (args, { xapi }) =>
    xapi.db.set(args.row('self'), { ha_always_run: args.flag('value'), ha_restart_priority: args.flag('value') ? 'restart' : '' }), // prettier-ignore
  'VM.get_cooperative': (args) => args.row('self') !== undefined,
  'VM.wait_memory_target_live': async (args, { xapi, task, signal }) => {
    const vm = args.row('self');
    assertAllowed(vm, 'awaiting_memory_live');
    const end = performance.now() + WAIT_MS;
    while (Math.abs(xapi.xenops.memoryOf(vm.uuid) - vm.number('memory_target')) > NEAR) {
      task.checkCancelled();
      if (signal.aborted) return;
      if (performance.now() > end) throw new Failure('VM_MEMORY_TARGET_WAIT_TIMEOUT', vm.ref);
      await sleep(250);
      assertAllowed(vm, 'awaiting_memory_live');
    }
  },
  'VM.set_HVM_shadow_multiplier': (args, { xapi }) => {
    const vm = args.row('self');
    assertAllowed(vm, 'changing_shadow_memory');
    if (args.number('value') < 1) throw new Failure('INVALID_VALUE', 'HVM_shadow_multiplier', String(args.number('value'))); // prettier-ignore
    xapi.db.set(vm, { HVM_shadow_multiplier: args.number('value') });
  },
  'VM.set_snapshot_schedule': (args, { xapi }) => {
    const vm = args.row('self');
    if (vm.flag('is_control_domain') || vm.flag('is_a_template')) throw new Failure('VM_IS_TEMPLATE', vm.ref);
    xapi.db.set(vm, { snapshot_schedule: args.text('value') });
  },
  'VM.set_has_vendor_device': (args, { xapi }) => {
    const vm = args.row('self');
    const state = vm.text('power_state');
    if (state !== 'Halted') throw new Failure('VM_BAD_POWER_STATE', vm.ref, 'halted', state.toLowerCase());
    xapi.db.set(vm, { has_vendor_device: args.flag('value') });
  },
  'VM.get_secureboot_readiness': () => 'not_supported',
  'VM.query_services': (args) => {
    assertAllowed(args.row('self'), 'query_services');
    return {};
  },
  'VM.import': fetchVm,
};
