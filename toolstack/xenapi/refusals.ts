/**
 * What a real host would do and this one cannot, with what a real host says then. No guest can be saved, moved or woken: the same
 * checks say so, and a client sees a wrong power state before it sees the lack. There are no plug-ins, no other hosts, no hardware to hand
 * through, no licences.
 */
import { Failure } from './failure.ts';
import { DRIVERS } from './SR/messages.ts';
import type { Arguments, Handler, Handlers } from './messages.ts';
import { assertAllowed } from './VM/operations.ts';
import { assertRecoverable, assertStorage } from './VM/recovery.ts';

const refuse =
  (operation: string, parameter = 'vm'): Handler =>
  (args) => {
    assertAllowed(args.row(parameter), operation);
    throw new Error(`${operation} is allowed, but there is no way to do it`);
  };

/** Of this class there is nothing that a message could be about, so its reference is to nothing. */
const absent =
  (parameter = 'self'): Handler =>
  (args) => {
    const row = args.row(parameter);
    throw new Failure('OPERATION_NOT_ALLOWED', `this host does nothing with a ${row.schema.name}`);
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
/** A licence would have to include it, in XenAPI's terms. */
const restricted = (feature: string): Handler => says('LICENCE_RESTRICTION', () => [feature]);
const notAllowed = (why: string): Handler => says('OPERATION_NOT_ALLOWED', () => [why]);

const vms: Handlers = {
  // Real hosts have one plug-in for guests, which asks their agent; ours has nothing that could be asked for.
  'VM.call_plugin': (args) => {
    const [vm, plugin] = [args.row('vm'), args.text('plugin')];
    assertAllowed(vm, 'call_plugin');
    if (plugin !== 'guest-agent-operation') throw new Failure('XENAPI_MISSING_PLUGIN', plugin);
    throw new Failure('VM_LACKS_FEATURE', vm.ref);
  },
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
  // A console comes and goes with its machine; real hosts have these two messages and do not do them either.
  'console.create': says('NOT_IMPLEMENTED', () => ['Console.create']),
  'console.destroy': says('NOT_IMPLEMENTED', () => ['Console.destroy']),
  // A session is always one of this host's database, where the machine is as it is, and no newer.
  'VM.recover': (args, { xapi }) => {
    const vm = args.row('self');
    args.row('session_to');
    assertRecoverable(xapi, vm);
    if (args.flag('force')) throw new Failure('DUPLICATE_VM', vm.ref);
    const version = String(vm.number('version'));
    throw new Failure('VM_TO_IMPORT_IS_NOT_NEWER_VERSION', vm.ref, version, version);
  },
  'VM_appliance.recover': (args, { xapi }) => {
    const vms = args.row('self').refs('VMs').map((ref) => xapi.db.row('VM', ref)); // prettier-ignore
    args.row('session_to');
    for (const vm of vms) assertStorage(xapi, vm);
    throw new Failure('DUPLICATE_VM', ...vms.slice(0, 1).map(({ ref }) => ref));
  },
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
  // Nobody offers updates in the form of other products' repositories.
  'Repository.introduce': says('INVALID_BASE_URL', of('binary_url')),
  'pool.sync_updates': says('NO_REPOSITORY_ENABLED'),
  'host.apply_updates': says('NO_REPOSITORY_ENABLED'),
  'pool.check_update_readiness': says('NO_REPOSITORY_ENABLED'),
  'pool.test_archive_target': says('MESSAGE_REMOVED'),
  'pool.rotate_secret': notAllowed('a pool of one host has no secret'),
  'session.create_from_db_file': says('RESTORE_INCOMPATIBLE_VERSION'),
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
  'Host_driver.rescan': notAllowed('the host chooses no drivers'),
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
  'Cluster_host.create': absent('cluster'),
  ...all(restricted('PVS_proxy'), 'PVS_site.introduce', 'PVS_server.introduce', 'PVS_proxy.create', 'PVS_cache_storage.create'), // prettier-ignore
  ...all(restricted('USB_passthrough'), 'PUSB.scan', 'USB_group.create', 'VUSB.create'),
  'GPU_group.create': notAllowed('there are no graphics processors'),
  ...all(says('FEATURE_RESTRICTED'), 'VGPU.create', 'host.enable_display', 'host.disable_display'),
  // No firmware of guests looks at them.
  ...all(
    notAllowed('guests have no UEFI firmware'),
    'host.set_uefi_certificates',
    'pool.set_uefi_certificates',
    'pool.set_custom_uefi_certificates',
  ),
  // Between the hosts of a pool there is one more; this pool has one host.
  'host.refresh_server_certificate': says('CERTIFICATE_DOES_NOT_EXIST', () => ['host_internal']),
  'pool.enable_client_certificate_auth': notAllowed('nobody logs in by certificate'),
  'Observer.create': notAllowed('traces are not recorded'),
  'DR_task.create': (args) => {
    const type = args.text('type');
    if (!Object.hasOwn(DRIVERS, type)) throw new Failure('SR_UNKNOWN_DRIVER', type);
    throw new Failure('OPERATION_NOT_ALLOWED', `SRs of type ${type} keep no copy of the database`);
  },
};

/** Messages about objects that there are none of, by class: what makes them is refused, or done with for long. */
const NONE: Record<string, string> = {
  ...{ crashdump: 'destroy', host_crashdump: 'destroy upload', host_patch: 'apply destroy' },
  pool_patch: 'apply clean clean_on_host destroy pool_apply pool_clean precheck',
  pool_update: 'apply destroy pool_apply pool_clean precheck',
  ...{ Cluster: 'destroy get_network pool_destroy pool_force_destroy pool_resync' },
  ...{ Cluster_host: 'destroy disable enable force_destroy', DR_task: 'destroy', VTPM: 'destroy' },
  ...{ Driver_variant: 'select', Host_driver: 'deselect select', network_sriov: 'destroy get_remaining_capacity' },
  ...{ GPU_group: 'destroy get_remaining_capacity', VGPU: 'destroy' },
  PGPU: 'add_enabled_VGPU_types remove_enabled_VGPU_types set_enabled_VGPU_types set_GPU_group get_remaining_capacity enable_dom0_access disable_dom0_access',
  ...{ PUSB: 'set_passthrough_enabled', USB_group: 'destroy', VUSB: 'destroy unplug' },
  ...{ PVS_cache_storage: 'destroy', PVS_proxy: 'destroy', PVS_server: 'forget', PVS_site: 'forget set_PVS_uuid' },
  Observer: 'destroy set_hosts set_enabled set_attributes set_endpoints set_components',
  Repository: 'forget set_gpgkey_path',
};
const objects = Object.entries(NONE).flatMap(([of, names]) => names.split(' ').map((name) => `${of}.${name}`));

export const refusals: Handlers = { ...vms, ...pools, ...hosts, ...storage, ...hardware, ...all(absent(), ...objects) };
