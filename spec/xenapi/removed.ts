/** Messages of XenAPI's past: who calls one is told MESSAGE_REMOVED. Classes, and what was theirs. */
export const REMOVED: Record<string, string> = {
  pool: 'enable_ssl_legacy',
  VM: 'set_protection_policy snapshot_with_quiesce get_is_snapshot_from_vmpp',
  VM_metrics: 'get_VCPUs_utilisation',
  VM_guest_metrics: 'get_disks get_memory',
  VMPP: 'get_all_records get_all set_archive_last_run_time set_backup_last_run_time remove_from_alarm_config remove_from_archive_schedule remove_from_archive_target_config remove_from_backup_schedule add_to_alarm_config add_to_archive_schedule add_to_archive_target_config add_to_backup_schedule set_alarm_config set_is_alarm_enabled set_archive_target_config set_archive_target_type set_archive_schedule set_archive_frequency set_backup_schedule set_backup_frequency set_backup_retention_value get_alerts archive_now protect_now set_backup_type set_is_policy_enabled set_name_description set_name_label get_recent_alerts get_alarm_config get_is_alarm_enabled get_VMs get_archive_last_run_time get_is_archive_running get_archive_schedule get_archive_frequency get_archive_target_config get_archive_target_type get_backup_last_run_time get_is_backup_running get_backup_schedule get_backup_frequency get_backup_retention_value get_backup_type get_is_policy_enabled get_name_description get_name_label get_uuid get_by_name_label destroy create get_by_uuid get_record',
  host: 'apply_recommended_guidances reset_cpu_features set_cpu_features license_apply',
  host_metrics: 'get_memory_free',
  VIF: 'get_metrics',
  VIF_metrics:
    'get_all_records get_all remove_from_other_config add_to_other_config set_other_config get_other_config get_last_updated get_io_write_kbs get_io_read_kbs get_uuid get_by_uuid get_record',
  PIF_metrics: 'get_io_write_kbs get_io_read_kbs',
  VDI: 'resize_online',
  VBD: 'get_metrics',
  VBD_metrics:
    'get_all_records get_all remove_from_other_config add_to_other_config set_other_config get_other_config get_last_updated get_io_write_kbs get_io_read_kbs get_uuid get_by_uuid get_record',
  Repository: 'get_up_to_date',
};
