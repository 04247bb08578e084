/** Settings of the host and its pool, and what a pool of one host answers. */
import { getHeapStatistics } from 'node:v8';
import type { Value } from '../../../spec/xenapi/types.ts';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import type { Handler, Handlers } from '../messages.ts';
import { localSubject } from '../session/users.ts';
import type { Xapi } from '../xapi.ts';

/** Sets a field. */
const set =
  (field: string, of: string, parameter = 'value', check?: (value: Value, row: Row) => void): Handler =>
  (args, { xapi }) => {
    const row = args.row(of);
    const value = args.value(parameter);
    check?.(value, row);
    xapi.db.set(row, { [field]: value });
  };

const within =
  (field: string, least: number, most: number) =>
  (value: Value): void => {
    if ((value as number) < least || (value as number) > most) throw new Failure('INVALID_VALUE', field, String(value));
  };

const HOSTNAME = /^(?=.{1,255}$)[a-z0-9]([a-z0-9-]{0,62})?(\.[a-z0-9]([a-z0-9-]{0,62})?)*$/i;
const IQN = /^(iqn\.\d{4}-\d\d\.[a-z0-9.-]+(:.*)?|eui\.[0-9a-f]{16}|naa\.[0-9a-f]{16,32}|)$/i;
const EDITIONS = ['xcp-ng'];

const guests = ({ db }: Xapi, host: Row): Row[] =>
  host.refs('resident_VMs').map((ref) => db.row('VM', ref)).filter((vm) => !vm.flag('is_control_domain')); // prettier-ignore

const applyEdition = (xapi: Xapi, host: Row, edition: string): void => {
  if (!EDITIONS.includes(edition)) throw new Failure('INVALID_EDITION', edition);
  xapi.db.set(host, { edition });
};

const numbers = (record: object): Record<string, string> =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, String(value)]));

const hosts: Handlers = {
  'host.set_hostname_live': (args, { xapi }) => {
    const [row, hostname] = [args.row('host'), args.text('hostname')];
    if (hostname === '') throw new Failure('HOST_NAME_INVALID', 'it is empty');
    if (!HOSTNAME.test(hostname)) throw new Failure('HOST_NAME_INVALID', 'it has characters that no name has');
    xapi.db.set(row, { hostname });
  },
  'host.set_power_on_mode': (args, { xapi }) => {
    const mode = args.text('power_on_mode');
    if (!['', 'wake-on-lan', 'iLO', 'DRAC'].includes(mode)) throw new Failure('INVALID_VALUE', 'power_on_mode', mode);
    xapi.db.set(args.row('self'), { power_on_mode: mode, power_on_config: args.map('power_on_config') });
  },
  'host.set_iscsi_iqn': set('iscsi_iqn', 'host', 'value', (value) => {
    if (!IQN.test(value as string)) throw new Failure('INVALID_VALUE', 'value', value as string);
  }),
  'host.get_sched_gran': () => 'cpu',
  'host.set_sched_gran': (args) => {
    // The scheduler knows vCPUs, one by one.
    if (args.text('value') !== 'cpu') throw new Failure('OPERATION_NOT_ALLOWED', 'vCPUs are scheduled one by one');
  },
  'host.set_ssl_legacy': (args, { xapi }) => {
    if (args.flag('value')) throw new Failure('OPERATION_NOT_ALLOWED', 'TLS begins at 1.2 here');
    xapi.db.set(args.row('self'), { ssl_legacy: false });
  },
  'host.evacuate': (args, { xapi }) => {
    const host = args.row('host');
    const [vm] = guests(xapi, host);
    if (vm) throw new Failure('CANNOT_EVACUATE_HOST', `NO_HOSTS_AVAILABLE,${vm.ref}`);
    xapi.db.set(host, { enabled: false });
  },
  'host.get_log': (_args, { xapi }) => xapi.recent.join('\n'),
  'host.sync_data': (_args, { xapi }) => xapi.db.durable(),
  'host.apply_edition': (args, { xapi }) => applyEdition(xapi, args.row('host'), args.text('edition')),
  'Diagnostics.gc_stats': () => numbers({ ...process.memoryUsage(), ...getHeapStatistics() }),
  'Diagnostics.db_stats': (_args, { xapi }) => xapi.db.statistics(),
};

const pools: Handlers = {
  'pool.get_license_state': () => ({ edition: EDITIONS[0], expiry: 'never' }),
  'pool.apply_edition': (args, { xapi }) => applyEdition(xapi, xapi.host, args.text('edition')),
  'pool.set_telemetry_next_collection': set('telemetry_next_collection', 'self'),
  'pool.set_local_auth_max_threads': (args, { xapi }) => {
    within('local_auth_max_threads', 1, 100)(args.number('value'));
    xapi.db.set(args.row('self'), { local_auth_max_threads: args.number('value') });
    xapi.users.most = args.number('value');
  },
  // Of one host, which is its own coordinator.
  'pool.recover_slaves': () => [],
  'pool.designate_new_master': (args, { xapi }) => {
    if (args.row('host').ref !== xapi.hostRef) throw new Failure('HOST_OFFLINE', args.text('host'));
  },
  'pool.ha_failover_plan_exists': (args) => args.number('n') <= 0,
  'pool.ha_compute_max_host_failures_to_tolerate': () => 0,
  'pool.ha_compute_hypothetical_max_host_failures_to_tolerate': () => 0,
  'pool.set_ha_host_failures_to_tolerate': (args, { xapi }) => {
    if (args.number('value') < 0) throw new Failure('INVALID_VALUE', 'value', String(args.number('value')));
    if (args.number('value') > 0) throw new Failure('HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN');
    xapi.db.set(args.row('self'), { ha_host_failures_to_tolerate: 0 });
  },
};

/** A login when nothing else of the host works: of its administrator alone. */
const sessions: Handlers = {
  'session.slave_local_login_with_password': async (args, caller) => {
    const { xapi, address } = caller;
    const { login } = await import('../session/messages.ts');
    const session = await login(xapi, args.text('uname'), args.text('pwd'), 'local', address);
    if (session.login.superuser) return session.ref;
    xapi.sessions.close(session);
    throw new Failure('SESSION_AUTHENTICATION_FAILED', args.text('uname'), localSubject(args.text('uname')));
  },
  'session.local_logout': (_args, { xapi, session }) => {
    xapi.events.forget(session.ref);
    xapi.sessions.close(session);
  },
};

export const settings: Handlers = { ...hosts, ...pools, ...sessions };
