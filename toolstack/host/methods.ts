// The calls of the control socket: parameters checked, carried out, answered.
import type { Call, Methods } from '../control/server.ts';
import { ERROR, Refused } from '../control/refused.ts';
import { checkConfig, ConfigError, configJson } from '../config/index.ts';
import { DOM0_NAME, type Domains, type Happening } from './domains.ts';
import { listChannels } from './channels.ts';
import { displayAddress } from './displays.ts';
import { dumpCore } from './core_dump.ts';
import { attachDisk, changeCd, checkedDisk, detachDisk, listDisks, resizeDisk } from './disks.ts';
import { requestShutdown, sendSysrq } from './guest_control.ts';
import { attachNic, capture, checkedVif, createNetwork, createWithDevices, detachNic, forward, listNetworks, listNics, removeNetwork, unforward, type NewNetwork } from './nics.ts'; // prettier-ignore
import { prepare } from './images.ts';
import { hostInfo, pinVcpu, sendTrigger, vcpus } from './inquiries.ts';

type Params = Record<string, unknown>;

function domidOf(params: Params): number {
  const { domid } = params;
  if (Number.isInteger(domid) && (domid as number) >= 0 && (domid as number) < 0x8000) return domid as number;
  throw new Refused(`${String(domid)} is no domain's number.`, ERROR.INVAL);
}

function number(params: Params, key: string): number {
  const value = params[key];
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
  throw new Refused(`${key} takes a whole number, not ${String(value)}.`, ERROR.INVAL);
}

function text(params: Params, key: string): string {
  const value = params[key];
  if (typeof value === 'string') return value;
  throw new Refused(`${key} takes a text.`, ERROR.INVAL);
}

function config(params: Params) {
  try {
    return checkConfig(params.config);
  } catch (error) {
    throw error instanceof ConfigError ? new Refused(error.message, ERROR.INVAL) : error;
  }
}

async function create(domains: Domains, params: Params): Promise<object> {
  const source = text(params, 'source');
  const wanted = config(params);
  await prepare(wanted);
  const options = { source, paused: params.paused === true, unattended: params.unattended === true };
  return { domid: (await createWithDevices(domains, wanted, options)).domid };
}

/** The guest's console, both ways, until the guest or the caller goes. A guest of that `name` may have ended already. */
function console(domains: Domains, params: Params, call: Call): Promise<void> {
  const index = params.number === undefined ? 0 : number(params, 'number');
  const which = domains.console(params.name === undefined ? domidOf(params) : text(params, 'name'), index);
  return new Promise((resolve) => {
    const attached = which.attach({
      data: (bytes) => call.data(bytes),
      more: () => call.resume(),
      gone: resolve,
    });
    call.onDrain(() => attached.resume());
    call.onData((bytes) => attached.type(bytes));
    call.onEnd(() => {
      attached.detach();
      resolve();
    });
  });
}

/**
 * Tells what happens to domains, until each has shut down or gone (`until: 'shutdown'`), or until nobody acts on them any
 * more (`until: 'end'`): a restarted one is followed under its new number.
 */
function follow(domains: Domains, params: Params, call: Call): Promise<void> {
  const wanted = new Set(
    (Array.isArray(params.domids) ? params.domids : []).filter((d) => Number.isInteger(d)) as number[],
  );
  const short = params.until === 'shutdown';
  return new Promise((resolve) => {
    const over = (domid: number): void => {
      wanted.delete(domid);
      if (wanted.size > 0) return;
      unlisten();
      resolve();
    };
    const hear = (happening: Happening): void => {
      const { domid, what } = happening;
      if (!wanted.has(domid)) return;
      call.event(happening);
      if (happening.successor !== undefined) wanted.add(happening.successor);
      if (short ? what !== 'restarted' : what !== 'shutdown' && happening.again !== true) over(domid);
    };
    const unlisten = domains.listen(hear);
    call.onEnd(() => {
      unlisten();
      resolve();
    });
    for (const domid of [...wanted]) {
      const domain = domains.peek(domid);
      if (!domain) over(domid);
      else if (domain.ended !== undefined && short) hear({ domid, what: 'shutdown', reason: domain.ended });
    }
    if (wanted.size === 0) resolve();
  });
}

/** The dump goes through the call's stream as fast as it is taken. */
async function dump(domains: Domains, params: Params, call: Call): Promise<void> {
  let room = Promise.withResolvers<void>();
  const go = (): void => room.resolve();
  call.onDrain(go);
  call.onEnd(go);
  for await (const bytes of dumpCore(domains, domidOf(params))) {
    if (call.ended) return;
    if (call.data(bytes)) continue;
    await room.promise;
    room = Promise.withResolvers<void>();
  }
}

function mask(params: Params, key: string): number | null {
  return params[key] === null || params[key] === undefined ? null : number(params, key);
}

const KEYS = 32;
function debugKeys(domains: Domains, params: Params): void {
  const keys = text(params, 'keys');
  if (keys.length === 0 || keys.length > KEYS || !/^[\x21-\x7e]+$/.test(keys))
    throw new Refused(`debug keys are 1 to ${KEYS} letters, not '${keys}'.`, ERROR.INVAL);
  domains.calls.debugKeys(keys);
}

function details(domains: Domains, params: Params): object {
  if (domidOf(params) === 0) return { domid: 0, config: { c_info: { type: 'pvh', name: DOM0_NAME }, b_info: {} } };
  const { domid, config: own } = domains.find(domidOf(params));
  return { domid, config: configJson(own, true) };
}

function newNetwork(params: Params): NewNetwork {
  const optional = (key: string): string | undefined => (params[key] === undefined ? undefined : text(params, key));
  return {
    ...{ name: text(params, 'name'), subnet4: optional('subnet4'), subnet6: optional('subnet6') },
    ...{ hostLoopback: params.hostLoopback === true, outside: params.outside !== false },
    isolated: params.isolated === true,
    dns: params.dns === undefined ? undefined : text(params, 'dns').split(','),
  };
}

function captureCall(domains: Domains, params: Params, call: Call): Promise<object> {
  const optional = (key: string): number | undefined => (params[key] === undefined ? undefined : number(params, key));
  const [domid, devid, snapLength, count] = ['domid', 'devid', 'snapLength', 'count'].map(optional);
  return capture(domains, { name: text(params, 'name'), domid, devid, snapLength, count }, call);
}

export function domainMethods(domains: Domains): Methods {
  return {
    'domain.create': (params) => create(domains, params),
    'domain.list': () =>
      domains
        .list()
        .map((info) => ({ ...info, startTime: domains.peek(info.domid)?.guest.description.startTime ?? null })),
    'domain.config': (params) => details(domains, params),
    'domain.destroy': (params) => domains.destroy(domidOf(params)),
    'domain.pause': (params) => domains.pause(domidOf(params)),
    'domain.unpause': (params) => domains.unpause(domidOf(params)),
    'domain.rename': (params) => domains.rename(domidOf(params), text(params, 'name')),
    'domain.shutdown': (params) => requestShutdown(domains, domidOf(params), 'poweroff'),
    'domain.reboot': (params) => requestShutdown(domains, domidOf(params), 'reboot'),
    'domain.sysrq': (params) => sendSysrq(domains, domidOf(params), text(params, 'key')),
    'domain.mem-set': (params) => domains.setMemoryTarget(domidOf(params), number(params, 'kib')),
    'domain.mem-max': (params) => domains.setMaxMemory(domidOf(params), number(params, 'kib')),
    'domain.vcpu-set': (params) => domains.setVcpus(domidOf(params), number(params, 'count')),
    'domain.console': (params, call) => console(domains, params, call),
    'domain.follow': (params, call) => follow(domains, params, call),
    'domain.dump': (params, call) => dump(domains, params, call),
    'domain.vcpus': (params) => vcpus(domains, params.domid === undefined ? undefined : domidOf(params)),
    'domain.trigger': (params) =>
      sendTrigger(domains, domidOf(params), number(params, 'trigger'), number(params, 'vcpu')),
    'domain.pin': (params) =>
      pinVcpu(domains, domidOf(params), number(params, 'vcpu'), mask(params, 'hard'), mask(params, 'soft')),
    'disk.attach': (params) => attachDisk(domains, domidOf(params), checkedDisk(params.disk)),
    'disk.detach': (params) => detachDisk(domains, domidOf(params), text(params, 'vdev'), params.force === true),
    'disk.resize': (params) => resizeDisk(domains, domidOf(params), text(params, 'vdev'), number(params, 'size')),
    'disk.list': (params) => listDisks(domains, domidOf(params)),
    'disk.change': (params) =>
      changeCd(domains, domidOf(params), text(params, 'vdev'), params.disk === null ? null : checkedDisk(params.disk)),
    'nic.attach': (params) => attachNic(domains, domidOf(params), checkedVif(params.vif)),
    'nic.detach': (params) => detachNic(domains, domidOf(params), text(params, 'which'), params.force === true),
    'nic.list': (params) => listNics(domains, domidOf(params)),
    'channel.list': (params) => listChannels(domains, domidOf(params)),
    'display.address': (params) => displayAddress(domains, domidOf(params)),
    'keyboard.list': (params) => domains.host.framebuffers.keyboards(domains.find(domidOf(params)).domid),
    'net.list': () => listNetworks(domains),
    'net.create': (params) => createNetwork(domains, newNetwork(params)),
    'net.remove': (params) => removeNetwork(domains, text(params, 'name')),
    'net.forward': (params) => forward(domains, text(params, 'name'), text(params, 'forward')),
    'net.unforward': (params) => unforward(domains, text(params, 'name'), text(params, 'forward')),
    'net.capture': (params, call) => captureCall(domains, params, call),
    'host.info': () => hostInfo(domains),
    'host.console': (params) => domains.calls.readConsole(params.clear === true).toString(),
    'host.debug-keys': (params) => debugKeys(domains, params),
    'domain.config-update': (params) => {
      const domain = domains.find(domidOf(params));
      const { name, uuid } = domain.config;
      domain.config = { ...config(params), name, uuid };
      domain.source = text(params, 'source');
      domains.keep(domain);
    },
  };
}
