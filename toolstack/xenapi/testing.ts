/** What the tests of the API need: a server on a simulated host, and calls in both protocols. */
import type { Database } from './database/database.ts';
import { memoryDatabase } from './database/open.ts';
import { HttpServer } from './rpc/http.ts';
import { ROOT, Users } from './session/users.ts';
import { Xapi } from './xapi.ts';
import { Simulator, type SimulatorOptions } from './xenops/simulator.ts';

export const PASSWORD = 'correct horse';

type Cleanup = { after(act: () => Promise<void> | void): void };

export interface Bed {
  xapi: Xapi;
  simulator: Simulator;
  logged: string[];
  /** Calls as root, without a wire. */
  call(method: string, ...params: unknown[]): Promise<never>;
  session: string;
}

const nobody = { address: 'test', signal: new AbortController().signal };

export async function bed(
  t: Cleanup,
  { storage, folder, db = memoryDatabase(), ...options }: SimulatorOptions & { storage?: string; folder?: string; db?: Database } = {}, // prettier-ignore
): Promise<Bed> {
  // The cost of real ones is not what is tested.
  const users = new Users(undefined, 16);
  await users.setPassword(ROOT, PASSWORD);
  const simulator = new Simulator(options);
  const logged: string[] = [];
  const log = (text: string) => void logged.push(text);
  const xapi = new Xapi({
    db,
    users,
    xenops: simulator,
    log,
    version: '0',
    address: '127.0.0.1',
    storage,
    folder,
  });
  t.after(() => xapi.close());
  const login = await xapi.dispatcher.call({ method: 'session.login_with_password', params: [ROOT, PASSWORD] }, nobody);
  const session = login.value as string;
  const call = async (method: string, ...params: unknown[]): Promise<never> =>
    (await xapi.dispatcher.call({ method, params: [session, ...params] as string[] }, nobody)).value as never;
  return { xapi, simulator, logged, call, session };
}

/** A session of a new user with that role. */
export async function userWith({ xapi }: Bed, role: string): Promise<string> {
  const name = `user-${role}`;
  await xapi.users.setPassword(name, PASSWORD);
  const roleRow = [...xapi.db.table('role').values()].find((row) => row.text('name_label') === role)!;
  xapi.db.create('subject', { subject_identifier: `local:${name}`, roles: [roleRow.ref] });
  const params = [name, PASSWORD];
  return (await xapi.dispatcher.call({ method: 'session.login_with_password', params }, nobody)).value as string;
}

export const VM_RECORD = {
  ...{ name_label: 'a machine', user_version: 0, is_a_template: false, affinity: 'OpaqueRef:NULL' },
  ...{ memory_static_max: 2 ** 28, memory_dynamic_max: 2 ** 28, memory_dynamic_min: 2 ** 28, memory_static_min: 0 },
  ...{
    VCPUs_params: {},
    VCPUs_max: 1,
    VCPUs_at_startup: 1,
    actions_after_shutdown: 'destroy',
    actions_after_reboot: 'restart',
  },
  ...{
    actions_after_crash: 'restart',
    PV_bootloader: '',
    PV_kernel: '',
    PV_ramdisk: '',
    PV_args: '',
    PV_bootloader_args: '',
  },
  ...{ PV_legacy_args: '', HVM_boot_policy: '', HVM_boot_params: {}, platform: {}, PCI_bus: '', other_config: {} },
  ...{ recommendations: '', xenstore_data: {}, ha_always_run: false, ha_restart_priority: '', tags: [] },
  ...{ blocked_operations: {}, suspend_SR: 'OpaqueRef:NULL', version: 0, generation_id: '' },
};

export const diskRecord = (SR: string, virtual_size = 8 * 2 ** 20, rest = {}) => ({
  ...{ name_label: 'd', name_description: '', SR, virtual_size, type: 'user', sharable: false, read_only: false },
  ...{ other_config: {}, ...rest },
});
export const driveRecord = (VM: string, VDI: string, rest = {}) => ({
  ...{ VM, VDI, userdevice: 'autodetect', bootable: true, mode: 'RW', type: 'Disk', empty: VDI === 'OpaqueRef:NULL' },
  ...{ other_config: {}, qos_algorithm_type: '', qos_algorithm_params: {}, ...rest },
});

/** The port of a plain listener. */
export async function listen(t: Cleanup, { xapi }: Bed): Promise<number> {
  const http = new HttpServer(xapi);
  const port = await http.listen({ host: '127.0.0.1', port: 0 });
  t.after(() => http.close());
  return port;
}
