/**
 * What a real host would do and this one cannot, with what a real host says then. No guest can be saved, moved or woken: the same
 * checks say so, and a client sees a wrong power state before it sees the lack. There are no plug-ins, no other hosts, no hardware to hand
 * through, no licences.
 */
import { Failure } from './failure.ts';
import type { Arguments, Handler, Handlers } from './messages.ts';
import { assertAllowed } from './VM/operations.ts';

const refuse =
  (operation: string, parameter = 'vm'): Handler =>
  (args) => {
    assertAllowed(args.row(parameter), operation);
    throw new Error(`${operation} is allowed, but there is no way to do it`);
  };

/** Always the same code, with parameters that may depend on what was asked. */
const says =
  (code: string, params: (args: Arguments) => string[] = () => []): Handler =>
  (args) => {
    throw new Failure(code, ...params(args));
  };
const all = (handler: Handler, ...names: string[]): Handlers =>
  Object.fromEntries(names.map((name) => [name, handler]));

const of =
  (...names: string[]) =>
  (args: Arguments): string[] =>
    names.map((name) => args.text(name));
const notAllowed = (why: string): Handler => says('OPERATION_NOT_ALLOWED', () => [why]);

const vms: Handlers = {
  ...all(says('XENAPI_MISSING_PLUGIN', of('plugin')), 'host.call_plugin', 'VM.call_plugin'),
  'VM.suspend': refuse('suspend'),
  'VM.resume': refuse('resume'),
  'VM.resume_on': refuse('resume_on'),
  'VM.checkpoint': refuse('checkpoint'),
  'VM.pool_migrate': refuse('pool_migrate'),
  'VM.migrate_send': refuse('migrate_send'),
  'VM.assert_can_migrate': refuse('migrate_send'),
  // Shadow memory and device models are what HVM guests of a real host have.
  ...all(
    says('VM_HVM_REQUIRED', of('self')),
    'VM.set_shadow_multiplier_live',
    'VM.restart_device_models',
    'VM.set_uefi_mode',
  ),
  // Only a suspended machine has one.
  'VM.set_suspend_VDI': (args) => {
    const vm = args.row('self');
    throw new Failure('VM_BAD_POWER_STATE', vm.ref, 'suspended', vm.text('power_state').toLowerCase());
  },
  'VM.import_convert': says('FEATURE_RESTRICTED'),
  // No guest of ours says that it can be told its address.
  ...all(
    (args, { xapi }) => {
      throw new Failure('VM_LACKS_FEATURE_STATIC_IP_SETTING', xapi.db.row('VIF', args.text('self')).text('VM'));
    },
    'VIF.configure_ipv4',
    'VIF.configure_ipv6',
  ),
  // A console comes and goes with its machine; real hosts have these two messages and do not do them either.
  'console.create': says('NOT_IMPLEMENTED', () => ['Console.create']),
  'console.destroy': says('NOT_IMPLEMENTED', () => ['Console.destroy']),
  'VTPM.create': says('FEATURE_REQUIRES_HVM', () => ['VTPM']),
};

const WLB = ['deconfigure_wlb', 'send_wlb_configuration', 'retrieve_wlb_configuration', 'retrieve_wlb_recommendations'];
const single = notAllowed('this host is a pool of its own');

const pools: Handlers = {
  ...all(
    says('WLB_NOT_INITIALIZED'),
    ...WLB.map((name) => `pool.${name}`),
    'VM.retrieve_wlb_recommendations',
    'host.retrieve_wlb_evacuate_recommendations',
  ),
  'pool.initialize_wlb': says('WLB_CONNECTION_REFUSED'),
  ...all(single, 'pool.join', 'pool.join_force', 'pool.emergency_reset_master', 'pool.emergency_transition_to_master'),
  ...all(says('HA_NOT_ENABLED'), 'pool.disable_ha', 'pool.ha_prevent_restarts_for'),
  'pool.eject': notAllowed('the coordinator of a pool cannot be ejected'),
  'pool.enable_ha': says('CANNOT_CREATE_STATE_FILE'),
  'host.emergency_ha_disable': says('HA_NOT_ENABLED'),
  ...all(says('AUTH_UNKNOWN_TYPE', of('auth_type')), 'pool.enable_external_auth', 'host.enable_external_auth'),
  ...all(
    says('AUTH_DISABLE_FAILED', () => ['no directory is joined']),
    'pool.disable_external_auth',
    'host.disable_external_auth',
  ),
  'pool.sync_updates': says('NO_REPOSITORY_ENABLED'),
  'host.apply_updates': says('NO_REPOSITORY_ENABLED'),
  'pool.check_update_readiness': says('NO_REPOSITORY_ENABLED'),
  ...all(
    says('OPENVSWITCH_NOT_ACTIVE'),
    'pool.set_vswitch_controller',
    'pool.set_igmp_snooping_enabled',
    'tunnel.create',
    'SDN_controller.introduce',
  ),
  'pool.enable_redo_log': says('SR_OPERATION_NOT_SUPPORTED', of('sr')),
  'pool.disable_redo_log': says('REDO_LOG_NOT_ENABLED'),
  ...all(
    notAllowed('the management interface is what the host was started with'),
    'pool.management_reconfigure',
    'host.management_reconfigure',
    'host.local_management_reconfigure',
    'host.management_disable',
  ),
};

const hosts: Handlers = {
  'host.call_extension': says('MESSAGE_METHOD_UNKNOWN', of('call')),
  'host.destroy': says('HOST_IS_LIVE', of('self')),
  'host.declare_dead': says('HOST_IS_LIVE', of('host')),
  ...all(
    notAllowed('who runs the host ends it'),
    'host.shutdown',
    'host.reboot',
    'host.shutdown_agent',
    'host.restart_agent',
  ),
  'host.power_on': says('HOST_POWER_ON_MODE_DISABLED'),
  ...all(says('LICENSE_PROCESSING_ERROR'), 'host.license_add', 'host.license_remove'),
  'host.migrate_receive': notAllowed('machines cannot be moved'),
  ...all(says('SR_OPERATION_NOT_SUPPORTED', of('sr')), 'host.enable_local_storage_caching'),
  'host.set_multipathing': notAllowed('there is one path to a folder'),
};

const storage: Handlers = {
  ...all(
    says('SR_OPERATION_NOT_SUPPORTED', of('sr')),
    ...[
      'assert_can_host_ha_statefile',
      'assert_supports_database_replication',
      'enable_database_replication',
      'disable_database_replication',
    ].map((name) => `SR.${name}`),
  ),
  'LVHD.enable_thin_provisioning': says('SR_OPERATION_NOT_SUPPORTED', of('SR')),
  ...all(
    (args, { xapi }) => {
      const vdi = xapi.db.row('VDI', args.text('self'));
      throw new Failure('VDI_INCOMPATIBLE_TYPE', vdi.ref, vdi.text('type'));
    },
    'VDI.open_database',
    'VDI.read_database_pool_uuid',
  ),
  'pool_update.introduce': says('INVALID_UPDATE', () => ['updates of other products are not for this one']),
};

/** Hardware that there is none of, software that is not part of it. */
const hardware: Handlers = {
  'network_sriov.create': says('PIF_IS_NOT_SRIOV_CAPABLE', of('pif')),
  'Cluster.create': says('INVALID_CLUSTER_STACK', of('cluster_stack')),
  'Cluster.pool_create': says('INVALID_CLUSTER_STACK', of('cluster_stack')),
  'PVS_site.introduce': says('LICENCE_RESTRICTION', () => ['PVS_proxy']),
  'GPU_group.create': notAllowed('there are no graphics processors'),
};

export const refusals: Handlers = { ...vms, ...pools, ...hosts, ...storage, ...hardware };
