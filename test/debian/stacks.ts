// A host's XenAPI as two of its clients use it: `xe`, and npm's xen-api.
import assert from 'node:assert/strict';
import { copyFileSync, createReadStream, createWriteStream, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createClient } from 'xen-api';
import { runXe } from '../../cli/xe/run.ts';
import { xenapiPaths } from '../../toolstack/xenapi/server.ts';
import { DEBIAN_IMAGE } from '../../toolstack/xenapi/VM/templates.ts';
import { Bed } from '../host/bed.ts';

const TEMPLATE = 'Debian 12';
const BRIDGE = 'xenbr0';

/** What is done with a machine; machines and snapshots are known by their uuid. */
export interface Stack {
  readonly bed: Bed;
  /** From Debian's template, with an interface. */
  install(name: string): Promise<string>;
  start(vm: string): Promise<void>;
  /** What the guest has said of its networks, as `DEVICE/FAMILY/NUMBER: ADDRESS` somewhere in a text. */
  networks(vm: string): Promise<string>;
  system(vm: string): Promise<string>;
  snapshot(vm: string, name: string): Promise<string>;
  revert(snapshot: string): Promise<void>;
  shutdown(vm: string): Promise<void>;
  exportTo(vm: string, file: string): Promise<void>;
  importFrom(file: string): Promise<string>;
  close(): Promise<void>;
}

/** A host of its own, with Debian's image if one is given. */
async function host(image: string | undefined): Promise<{ bed: Bed; url: string }> {
  const bed = new Bed();
  const paths = xenapiPaths(bed.state);
  mkdirSync(paths.images, { recursive: true, mode: 0o700 });
  if (image !== undefined) copyFileSync(image, join(paths.images, DEBIAN_IMAGE));
  const said = await bed.up('--xenapi', '0', '--memory', '560');
  return { bed, url: /XenAPI is at (https:\S+?);/.exec(said)![1]! };
}

export async function byXe(image?: string): Promise<Stack> {
  const { bed } = await host(image);
  const ok = async (...args: string[]): Promise<string> => {
    let [out, err] = ['', ''];
    const io = { out: (s: string) => void (out += s), err: (s: string) => void (err += s) };
    const code = await runXe(args, { ...io, env: { ...bed.env, HOME: bed.folder } });
    assert.deepEqual([code, err], [0, ''], args.join(' '));
    return out.trimEnd();
  };
  const done = async (...args: string[]): Promise<void> => void (await ok(...args));
  return {
    bed,
    async install(name) {
      const uuid = await ok('vm-install', `template=${TEMPLATE}`, `new-name-label=${name}`);
      const network = await ok('network-list', `bridge=${BRIDGE}`, '--minimal');
      await ok('vif-create', `vm-uuid=${uuid}`, `network-uuid=${network}`, 'device=0', 'mac=random');
      return uuid;
    },
    start: (vm) => done('vm-start', `uuid=${vm}`),
    networks: (vm) => ok('vm-param-get', `uuid=${vm}`, 'param-name=networks'),
    system: (vm) => ok('vm-param-get', `uuid=${vm}`, 'param-name=os-version'),
    snapshot: (vm, name) => ok('vm-snapshot', `uuid=${vm}`, `new-name-label=${name}`),
    revert: (snapshot) => done('snapshot-revert', `snapshot-uuid=${snapshot}`),
    shutdown: (vm) => done('vm-shutdown', `uuid=${vm}`),
    exportTo: (vm, file) => done('vm-export', `uuid=${vm}`, `filename=${file}`),
    importFrom: (file) => ok('vm-import', `filename=${file}`),
    close: () => bed.close(),
  };
}

export async function byXenApi(image?: string): Promise<Stack> {
  const { bed, url } = await host(image);
  const password = readFileSync(xenapiPaths(bed.state).password, 'utf8').trim();
  const xapi = createClient({ url, auth: { user: 'root', password }, allowUnauthorized: true });
  await xapi.connect();
  const call = (method: string, ...params: unknown[]): Promise<never> => xapi.call(method, ...params);
  const task = (method: string, ...params: unknown[]): Promise<never> => xapi.callAsync(method, ...params);
  const machine = (uuid: string): Promise<string> => call('VM.get_by_uuid', uuid);
  const metrics = async (vm: string, field: string): Promise<string> => {
    const ref: string = await call('VM.get_guest_metrics', await machine(vm));
    if (ref === 'OpaqueRef:NULL') return '';
    const map: Record<string, string> = await call(`VM_guest_metrics.get_${field}`, ref);
    return Object.entries(map).map(([key, value]) => `${key}: ${value}`).join('; '); // prettier-ignore
  };
  return {
    bed,
    async install(name) {
      const [template]: string[] = await call('VM.get_by_name_label', TEMPLATE);
      const vm: string = await call('VM.clone', template, name);
      await task('VM.provision', vm);
      const networks: Record<string, { bridge: string }> = await call('network.get_all_records');
      const [network] = Object.entries(networks).find(([, { bridge }]) => bridge === BRIDGE)!;
      const qos = { qos_algorithm_type: '', qos_algorithm_params: {} };
      await call('VIF.create', { VM: vm, network, device: '0', MAC: '', MTU: 1500, other_config: {}, ...qos });
      return call('VM.get_uuid', vm);
    },
    start: async (vm) => void (await task('VM.start', await machine(vm), false, false)),
    networks: (vm) => metrics(vm, 'networks'),
    system: (vm) => metrics(vm, 'os_version'),
    async snapshot(vm, name) {
      const ref: string = /OpaqueRef:[0-9a-f-]+/.exec(await task('VM.snapshot', await machine(vm), name))![0];
      return call('VM.get_uuid', ref);
    },
    revert: async (snapshot) => void (await task('VM.revert', await machine(snapshot))),
    shutdown: async (vm) => void (await task('VM.clean_shutdown', await machine(vm))),
    async exportTo(vm, file) {
      const { body } = await xapi.getResource('/export/', { query: { ref: await machine(vm) }, task: true });
      await pipeline(body, createWriteStream(file));
    },
    async importFrom(file) {
      const body = Object.assign(createReadStream(file), { length: statSync(file).size });
      const [pool]: string[] = await call('pool.get_all');
      const sr_id: string = await call('pool.get_default_SR', pool);
      const answer: unknown = await xapi.putResource(body, '/import/', { query: { sr_id }, task: true });
      return call('VM.get_uuid', /OpaqueRef:[0-9a-f-]+/.exec(String(answer))![0]);
    },
    async close() {
      await xapi.disconnect();
      await bed.close();
    },
  };
}
