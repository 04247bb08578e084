/** Settings of the pool: updates and telemetry (nobody sends any, the settings are kept), agents in guests, directories. */
import { randomUUID } from 'node:crypto';
import { NULL_REF } from '../../../spec/xenapi/types.ts';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import type { Handlers } from '../messages.ts';
import type { Xapi } from '../xapi.ts';
import { assertCanBoot } from '../VM/power.ts';

/** Keeps a value in a secret of its own, in the place of the one before. */
function setSecret({ db }: Xapi, pool: Row, field: string, value: string | undefined): void {
  const before = db.find('secret', pool.text(field));
  const now = value === undefined ? NULL_REF : db.create('secret', { value }).ref;
  db.set(pool, { [field]: now });
  if (before) db.destroy(before);
}

function checkProxy(url: string, username: string, password: string): void {
  const parsed = URL.parse(url);
  const whole = parsed && ['http:', 'https:'].includes(parsed.protocol) && parsed.pathname === '/' && parsed.search + parsed.hash === ''; // prettier-ignore
  if (!whole || parsed.username !== '' || parsed.password !== '') throw new Failure('INVALID_REPOSITORY_PROXY_URL', url); // prettier-ignore
  // Both or none, and no second line to the header that they become.
  const odd = /[\r\n\0]/.test(username + password) || username.includes(':');
  if ((username === '') !== (password === '') || odd) throw new Failure('INVALID_REPOSITORY_PROXY_CREDENTIAL');
}

const updates: Handlers = {
  'pool.configure_repository_proxy': (args, { xapi }) => {
    const pool = args.row('self');
    const [url, username, password] = [args.text('url'), args.text('username'), args.text('password')];
    checkProxy(url, username, password);
    xapi.db.change(() => {
      xapi.db.set(pool, { repository_proxy_url: url, repository_proxy_username: username });
      setSecret(xapi, pool, 'repository_proxy_password', password === '' ? undefined : password);
    });
  },
  'pool.disable_repository_proxy': (args, { xapi }) => {
    const pool = args.row('self');
    xapi.db.change(() => {
      xapi.db.set(pool, { repository_proxy_url: '', repository_proxy_username: '' });
      setSecret(xapi, pool, 'repository_proxy_password', undefined);
    });
  },
  'pool.set_repositories': (args, { xapi }) => {
    const rows = args.list('value').map((ref) => xapi.db.row('Repository', ref));
    xapi.db.set(args.row('self'), { repositories: [...new Set(rows.map(({ ref }) => ref))] });
  },
  'pool.add_repository': (args, { xapi }) => {
    const [pool, row] = [args.row('self'), args.row('value')];
    xapi.db.set(pool, { repositories: [...new Set([...pool.refs('repositories'), row.ref])] });
  },
  'pool.remove_repository': (args, { xapi }) => {
    const [pool, row] = [args.row('self'), args.row('value')];
    xapi.db.set(pool, { repositories: pool.refs('repositories').filter((ref) => ref !== row.ref) });
  },
  'pool.configure_update_sync': (args, { xapi }) => {
    const [update_sync_frequency, day] = [args.text('update_sync_frequency'), args.number('update_sync_day')];
    if (update_sync_frequency === 'weekly' && (day < 0 || day > 6)) throw new Failure('INVALID_UPDATE_SYNC_DAY', String(day)); // prettier-ignore
    xapi.db.set(args.row('self'), { update_sync_frequency, update_sync_day: update_sync_frequency === 'weekly' ? day : 0 }); // prettier-ignore
  },
  'pool.set_update_sync_enabled': (args, { xapi }) => {
    const [pool, value] = [args.row('self'), args.flag('value')];
    if (value && pool.refs('repositories').length === 0) throw new Failure('NO_REPOSITORIES_CONFIGURED');
    xapi.db.set(pool, { update_sync_enabled: value });
  },
  'pool.reset_telemetry_uuid': (args, { xapi }) =>
    xapi.db.change(() => setSecret(xapi, args.row('self'), 'telemetry_uuid', randomUUID())),
  'host.emergency_clear_mandatory_guidance': (_args, { xapi }) => xapi.db.set(xapi.host, { pending_guidances: [] }),
};

/** What the agents of guests may be told, and how it has to look. */
const AGENT_KEYS: Record<string, (value: string) => boolean> = {
  auto_update_enabled: (value) => ['true', 'false'].includes(value),
  auto_update_url: (value) => value === '' || ['http:', 'https:'].includes(URL.parse(value)?.protocol ?? ''),
};

/** Tells guests, which find it below `/guest_agent_features` in xenstore. */
export function tellAgents({ pool, xenops }: Xapi): void {
  const { auto_update_enabled: enabled, auto_update_url: url } = pool.map('guest_agent_config');
  const parameters = {
    ...(enabled !== undefined && { enabled: enabled === 'true' ? '1' : '0' }),
    ...(url !== undefined && { update_url: url }),
  };
  xenops.setAgentFeatures({ Guest_agent_auto_update: parameters });
}

const agents: Handlers = {
  'pool.add_to_guest_agent_config': (args, { xapi }) => {
    const [pool, key, value] = [args.row('self'), args.text('key'), args.text('value')];
    const now = pool.map('guest_agent_config');
    if (!Object.hasOwn(AGENT_KEYS, key)) throw new Failure('INVALID_VALUE', 'guest_agent_config', key);
    if (!AGENT_KEYS[key](value) || value.length > 1024) throw new Failure('INVALID_VALUE', `guest_agent_config:${key}`, value); // prettier-ignore
    if (Object.hasOwn(now, key)) throw new Failure('MAP_DUPLICATE_KEY', 'pool', 'guest_agent_config', pool.ref, key);
    xapi.db.set(pool, { guest_agent_config: { ...now, [key]: value } });
    tellAgents(xapi);
  },
  'pool.remove_from_guest_agent_config': (args, { xapi }) => {
    const [pool, key] = [args.row('self'), args.text('key')];
    const kept = Object.entries(pool.map('guest_agent_config')).filter(([each]) => each !== key);
    xapi.db.set(pool, { guest_agent_config: Object.fromEntries(kept) });
    tellAgents(xapi);
  },
};

/** Where each VM would go, were these hosts to fail. */
function failoverPlan(xapi: Xapi, failed: string[], vms: Row[]): Map<string, Record<string, string>> {
  const plan = new Map<string, Record<string, string>>();
  for (const vm of vms) {
    try {
      if (failed.includes(xapi.hostRef)) throw new Failure('NO_HOSTS_AVAILABLE');
      if (vm.text('power_state') === 'Halted') assertCanBoot(xapi, vm);
      plan.set(vm.ref, { host: xapi.hostRef });
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      plan.set(vm.ref, { error_code: error.code });
    }
  }
  return plan;
}

const hosts: Handlers = {
  'pool.sync_database': (_args, { xapi }) => xapi.db.durable(),
  'pool.has_extension': () => false,
  'pool.ha_compute_vm_failover_plan': (args, { xapi }) => {
    const failed = args.list('failed_hosts').map((ref) => xapi.db.row('host', ref).ref);
    return failoverPlan(xapi, failed, args.list('failed_vms').map((ref) => xapi.db.row('VM', ref))); // prettier-ignore
  },
  'pool.detect_nonhomogeneous_external_auth': (args, { xapi }) => {
    const master = xapi.db.row('host', args.row('pool').text('master'));
    const kind = (host: Row): string => `${host.text('external_auth_type')} ${host.text('external_auth_service_name')}`;
    for (const host of xapi.db.table('host').values())
      if (kind(host) !== kind(master)) throw new Failure('POOL_JOINING_EXTERNAL_AUTH_MISMATCH');
  },
  'pool.disable_ssl_legacy': (_args, { xapi }) =>
    xapi.db.change(() => {
      for (const host of xapi.db.table('host').values()) xapi.db.set(host, { ssl_legacy: false });
    }),
  // Neither a directory nor a cache is in use; what records say of one is put right.
  'pool.set_ext_auth_max_threads': (args, { xapi }) => {
    const value = args.number('value');
    if (value < 1 || value > 8) throw new Failure('INVALID_VALUE', 'ext_auth_max_threads', String(value));
    xapi.db.set(args.row('self'), { ext_auth_max_threads: value });
  },
  'pool.enable_local_storage_caching': (_args, { xapi }) => {
    throw new Failure('HOSTS_FAILED_TO_ENABLE_CACHING', xapi.hostRef);
  },
  'pool.disable_local_storage_caching': (_args, { xapi }) => uncache(xapi, [...xapi.db.table('host').values()]),
  'host.disable_local_storage_caching': (args, { xapi }) => uncache(xapi, [args.row('host')]),
};

function uncache({ db }: Xapi, all: Row[]): void {
  db.change(() => {
    for (const host of all) {
      const sr = db.find('SR', host.text('local_cache_sr'));
      if (sr) db.set(sr, { local_cache_enabled: false });
      db.set(host, { local_cache_sr: NULL_REF });
    }
  });
}

export const pool: Handlers = { ...updates, ...agents, ...hosts };
