// Every refusal, by what it says: in real hosts' words, whatever it is asked, and never as a mistake of ours.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MESSAGES } from '../../spec/xenapi/index.ts';
import { Failure } from './failure.ts';
import { refusals } from './refusals.ts';
import { bed, VM_RECORD } from './testing.ts';
import { argumentsOf } from './testing_arguments.ts';

/** What each refused message answers when its arguments are right; those that are not here are about objects that there are none of. */
const SAYS: Record<string, string> = {
  AUTH_DISABLE_FAILED: 'host.disable_external_auth pool.disable_external_auth',
  AUTH_UNKNOWN_TYPE: 'host.enable_external_auth pool.enable_external_auth',
  CANNOT_CREATE_STATE_FILE: 'pool.enable_ha',
  CERTIFICATE_DOES_NOT_EXIST: 'host.refresh_server_certificate',
  DUPLICATE_VM: 'VM.recover VM_appliance.recover',
  FEATURE_REQUIRES_HVM: 'VTPM.create',
  FEATURE_RESTRICTED: 'VGPU.create VM.import_convert host.disable_display host.enable_display',
  HA_NOT_ENABLED: 'host.emergency_ha_disable pool.disable_ha pool.ha_prevent_restarts_for',
  HOST_IS_LIVE: 'host.declare_dead host.destroy',
  HOST_POWER_ON_MODE_DISABLED: 'host.power_on',
  INVALID_BASE_URL: 'Repository.introduce',
  INVALID_CLUSTER_STACK: 'Cluster.create Cluster.pool_create',
  INVALID_UPDATE: 'pool_update.introduce',
  LICENCE_RESTRICTION:
    'PUSB.scan PVS_cache_storage.create PVS_proxy.create PVS_server.introduce PVS_site.introduce USB_group.create VUSB.create',
  LICENSE_PROCESSING_ERROR: 'host.license_add host.license_remove',
  MESSAGE_METHOD_UNKNOWN: 'host.call_extension',
  MESSAGE_REMOVED: 'pool.test_archive_target',
  // Real hosts have these two, and do not do them either.
  NOT_IMPLEMENTED: 'console.create console.destroy',
  NO_REPOSITORY_ENABLED: 'host.apply_updates pool.check_update_readiness pool.sync_updates',
  OPERATION_NOT_ALLOWED: `GPU_group.create Host_driver.rescan Observer.create host.local_management_reconfigure
    host.management_disable host.management_reconfigure host.migrate_receive host.reboot host.restart_agent host.set_multipathing
    host.set_uefi_certificates host.shutdown host.shutdown_agent pool.eject pool.emergency_reset_master
    pool.emergency_transition_to_master pool.enable_client_certificate_auth pool.join pool.join_force pool.management_reconfigure
    pool.rotate_secret pool.set_custom_uefi_certificates pool.set_uefi_certificates`,
  PIF_IS_NOT_SRIOV_CAPABLE: 'network_sriov.create',
  REDO_LOG_NOT_ENABLED: 'pool.disable_redo_log',
  RESTORE_INCOMPATIBLE_VERSION: 'session.create_from_db_file',
  SR_OPERATION_NOT_SUPPORTED: `LVHD.enable_thin_provisioning SR.assert_can_host_ha_statefile SR.assert_supports_database_replication
    SR.disable_database_replication SR.enable_database_replication host.enable_local_storage_caching pool.enable_redo_log`,
  SR_UNKNOWN_DRIVER: 'DR_task.create',
  VDI_INCOMPATIBLE_TYPE: 'VDI.open_database VDI.read_database_pool_uuid',
  VM_BAD_POWER_STATE:
    'VM.call_plugin VM.checkpoint VM.pool_migrate VM.resume VM.resume_on VM.set_suspend_VDI VM.suspend',
  VM_HVM_REQUIRED: 'VM.restart_device_models VM.set_shadow_multiplier_live VM.set_uefi_mode',
  VM_LACKS_FEATURE: 'VM.assert_can_migrate VM.migrate_send',
  WLB_CONNECTION_REFUSED: 'pool.initialize_wlb',
  WLB_NOT_INITIALIZED: `VM.retrieve_wlb_recommendations host.retrieve_wlb_evacuate_recommendations pool.deconfigure_wlb
    pool.retrieve_wlb_configuration pool.retrieve_wlb_recommendations pool.send_wlb_configuration`,
};
const SAID = new Map(Object.entries(SAYS).flatMap(([code, names]) => names.split(/\s+/).map((name): [string, string] => [name, code]))); // prettier-ignore

test('every refusal is one of real hosts, and the one that fits', async (t) => {
  const server = await bed(t);
  const { call, xapi } = server;
  await call('VM.create', VM_RECORD);
  await call('VM_appliance.create', { name_label: 'a', name_description: '' });
  xapi.db.create('SR', { name_label: 's', type: 'file' });
  xapi.db.create('VDI', { SR: [...xapi.db.table('SR').keys()][0], type: 'user' });
  for (const name of Object.keys(refusals)) {
    const params = argumentsOf(server, MESSAGES.get(name)!);
    const expected = SAID.get(name) ?? 'HANDLE_INVALID';
    await assert.rejects(
      call(name, ...params),
      (error) => {
        assert.ok(error instanceof Failure, `${name}: ${String(error)}`);
        assert.equal(error.code, expected, `${name}: ${error.message}`);
        return true;
      },
      name,
    );
  }
  for (const name of SAID.keys()) assert.ok(Object.hasOwn(refusals, name), `${name} is refused no more`);
});

test('every message has somebody who answers it', async (t) => {
  const { xapi } = await bed(t);
  // Nobody but a handler or the tables answers: else it would be NOT_IMPLEMENTED.
  assert.deepEqual([...MESSAGES.keys()].filter((name) => !xapi.dispatcher.supports(name)), []); // prettier-ignore
});
