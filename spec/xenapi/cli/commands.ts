/**
 * Commands of `xe` beside those of records: `name | required | optional | flags | call | about`.
 *
 * Flags: `vm`, `host`, `sr` work on the objects that the parameters select (`vm` with `templates` and `dom0` on those too, `single` on
 * one only), `standard` is in the short list, `hidden` in none. A call is a message of XenAPI with its arguments: `@` is the selected
 * object, `uuid:VBD` the object whose UUID a parameter says, `x:int`, `x:bool`, `x:bytes`, `x:float`, `x:map`, `x:uuids:PIF` what it
 * says; `= y` behind it is taken without one, `null` refers to nothing, `'y'` is itself, `pool` and `host` are this pool and host.
 * `=> uuid` and `=> text` show what is returned. Without a call (`-`) the command is written by hand.
 */
const TABLE = `
user-password-change | new | old | | session.change_password(old = '', new) | changes the password of who calls
message-create | name priority body | vm-uuid host-uuid sr-uuid pool-uuid | | - | makes a message about an object
message-destroy | | uuid uuids | | - | removes messages
message-destroy-all | | before after priority | | - | removes all messages, or those before and after a time
pool-designate-new-master | host-uuid | | | pool.designate_new_master(host-uuid:host) | hands the pool to another host
pool-management-reconfigure | network-uuid | | | pool.management_reconfigure(network-uuid:network) | moves management to a network
pool-sync-database | | | | pool.sync_database() | writes the database to the disk, on all hosts
pool-join | master-address master-username master-password | force | | - | joins a pool
pool-recover-slaves | | | | pool.recover_slaves() => uuids:host | tells all hosts who the master is
pool-eject | host-uuid | | | pool.eject(host-uuid:host) | makes a host leave the pool
pool-dump-database | file-name | | | - | writes the database into a file
pool-restore-database | file-name | dry-run | | - | takes the database from a file
pool-enable-external-auth | auth-type service-name | uuid config: | | pool.enable_external_auth(pool, config:map, service-name, auth-type) | asks a directory about users
pool-disable-external-auth | | uuid config: | | pool.disable_external_auth(pool, config:map) | asks no directory any more
pool-ha-enable | | heartbeat-sr-uuids ha-config: | | pool.enable_ha(heartbeat-sr-uuids:uuids:SR = '', ha-config:map) | starts high availability
pool-ha-disable | | | | pool.disable_ha() | ends high availability
pool-ha-compute-max-host-failures-to-tolerate | | | | pool.ha_compute_max_host_failures_to_tolerate() => text | says how many hosts may fail
pool-enable-redo-log | sr-uuid | | | pool.enable_redo_log(sr-uuid:SR) | keeps a log of the database in an SR
pool-disable-redo-log | | | | pool.disable_redo_log() | keeps no log of the database any more
pool-vlan-create | pif-uuid vlan network-uuid | | | pool.create_VLAN_from_PIF(pif-uuid:PIF, network-uuid:network, vlan:int) => uuids:PIF | makes a VLAN on each host
pool-certificate-sync | | | | pool.certificate_sync() | copies certificates to all hosts
pool-certificate-install | filename | | | - | trusts an authority, by the name of its file
pool-certificate-uninstall | name | | | pool.certificate_uninstall(name) | trusts an authority no more
pool-certificate-list | | | | pool.certificate_list() => texts | shows the authorities that are trusted
pool-install-ca-certificate | filename | | | - | trusts an authority, by the name of its file
pool-uninstall-ca-certificate | name | | | pool.uninstall_ca_certificate(name) | trusts an authority no more
pool-crl-install | filename | | | - | takes a list of what an authority has revoked
pool-crl-uninstall | name | | | pool.crl_uninstall(name) | drops such a list
pool-crl-list | | | | pool.crl_list() => texts | shows such lists
pool-send-test-post | dest-host dest-port body | | hidden | pool.send_test_post(dest-host, dest-port:int, body) => text | posts something to a server by TLS, and shows its answer
pool-enable-tls-verification | | | | pool.enable_tls_verification() | makes hosts verify each other
pool-secret-rotate | | | | pool.rotate_secret() | changes what hosts know each other by
pool-reset-telemetry-uuid | | | | pool.reset_telemetry_uuid(pool) | changes the identity of telemetry
pool-get-cpu-features | | uuid | | - | shows what processors of the pool have
host-disable | | | host | host.disable(@) | lets nothing start on a host
host-enable | | | host | - | lets VMs start on a host
host-shutdown | | | host | host.shutdown(@) | shuts a host down
host-reboot | | | host | host.reboot(@) | reboots a host
host-power-on | | | host | host.power_on(@) | switches a host on
host-evacuate | | network-uuid batch-size | host single | host.evacuate(@, network-uuid:network = null, batch-size:int = 0) | moves all VMs away from a host
host-dmesg | | | host | host.dmesg(@) => text | shows the hypervisor's console
host-send-debug-keys | host-uuid keys | | | host.send_debug_keys(host-uuid:host, keys) | presses keys of the hypervisor's console
host-forget | uuid | force | | - | removes a host that is no more
host-declare-dead | uuid | force | | - | says that a host is dead
host-compute-free-memory | | | host single | host.compute_free_memory(@) => text | says how much memory is free
host-compute-memory-overhead | | | host single | host.compute_memory_overhead(@) => text | says how much memory the hypervisor takes
host-get-server-certificate | | | host single | host.get_server_certificate(@) => text | shows the certificate
host-refresh-server-certificate | | | host single | host.refresh_server_certificate(@) | makes a new certificate
host-reset-server-certificate | | | host single | host.reset_server_certificate(@) | goes back to a certificate of its own
host-server-certificate-install | certificate private-key | certificate-chain | host single | - | shows clients another certificate
host-emergency-reset-server-certificate | | | | host.emergency_reset_server_certificate() | goes back to a certificate of its own, on the host itself
host-emergency-disable-tls-verification | | | | host.emergency_disable_tls_verification() | believes every server, in an emergency
host-emergency-reenable-tls-verification | | | | host.emergency_reenable_tls_verification() | looks at certificates again
host-bugreport-upload | url | | host single | host.bugreport_upload(@, url, options:map) | sends a report of the host to a server
host-get-system-status-capabilities | | | host single | host.get_system_status_capabilities(@) => text | shows what a report can have in it
host-management-reconfigure | pif-uuid | | | host.management_reconfigure(pif-uuid:PIF) | moves management to an interface
host-management-disable | | | | host.management_disable() | ends management by network
host-set-hostname-live | host-uuid host-name | | | host.set_hostname_live(host-uuid:host, host-name) | changes a host's name
host-set-power-on-mode | power-on-mode | power-on-config: | host | host.set_power_on_mode(@, power-on-mode, power-on-config:map) | says how a host is switched on
host-syslog-reconfigure | host-uuid | | | host.syslog_reconfigure(host-uuid:host) | takes up the settings of logging
host-call-plugin | host-uuid plugin fn | args: | | - | calls a plug-in of a host
host-get-vms-which-prevent-evacuation | uuid | params | | - | shows which VMs cannot leave, and why
host-cpu-info | | uuid | | - | shows what processors a host has
host-get-cpu-features | | uuid | | - | shows the features of a host's processors
host-license-view | | host-uuid | | - | shows the licence
host-all-editions | | | | host.get_editions(host) => texts | shows which editions there are
host-apply-edition | edition | host-uuid | | host.apply_edition(host-uuid:host = host, edition, 'false':bool) | changes the edition
host-shutdown-agent | | | | host.shutdown_agent() | ends the server
host-data-source-list | | | host single | host.get_data_sources(@) => records | shows what can be recorded of a host
host-data-source-record | data-source | | host single | host.record_data_source(@, data-source) | records something of a host
host-data-source-query | data-source | | host single | host.query_data_source(@, data-source) => number | shows the last value
host-data-source-forget | data-source | | host single | host.forget_data_source_archives(@, data-source) | forgets what was recorded
host-enable-local-storage-caching | sr-uuid | | host | host.enable_local_storage_caching(@, sr-uuid:SR) | caches disks in an SR
host-disable-local-storage-caching | | | host | host.disable_local_storage_caching(@) | caches no disks any more
host-logs-download | | file-name | host single | - | fetches the host's logs
host-backup | file-name | | host single | - | fetches a backup of the host
host-restore | file-name | | host single | - | takes the host back to a backup
vm-compute-memory-overhead | | | vm dom0 | VM.compute_memory_overhead(@) => text | says how much memory a VM takes besides its own
vm-memory-dynamic-range-set | min max | | vm templates dom0 | VM.set_memory_dynamic_range(@, min:bytes, max:bytes) | sets how much memory a VM may have when it runs
vm-memory-static-range-set | min max | | vm templates dom0 | VM.set_memory_static_range(@, min:bytes, max:bytes) | sets how much memory a VM can have
vm-memory-limits-set | static-min static-max dynamic-min dynamic-max | | vm templates dom0 | VM.set_memory_limits(@, static-min:bytes, static-max:bytes, dynamic-min:bytes, dynamic-max:bytes) | sets all limits of memory
vm-memory-set | memory | | vm templates dom0 | VM.set_memory(@, memory:bytes) | gives a VM this much memory
vm-memory-target-set | target | | vm dom0 | VM.set_memory_dynamic_range(@, target:bytes, target:bytes) | asks a VM to use this much memory
vm-memory-target-wait | | | vm dom0 hidden | VM.wait_memory_target_live(@) | waits until a VM uses what it should
vm-memory-shadow-multiplier-set | multiplier | | vm | VM.set_shadow_multiplier_live(@, multiplier:float) | sets the memory of shadow page tables
vm-compute-maximum-memory | total | approximate | vm standard | VM.maximise_memory(@, total:bytes, approximate:bool = false) => text | says how much memory a guest can have of a total
vm-data-source-list | | | vm dom0 single | VM.get_data_sources(@) => records | shows what can be recorded of a VM
vm-data-source-record | data-source | | vm dom0 single | VM.record_data_source(@, data-source) | records something of a VM
vm-data-source-query | data-source | | vm dom0 single | VM.query_data_source(@, data-source) => number | shows the last value
vm-data-source-forget | data-source | | vm dom0 single | VM.forget_data_source_archives(@, data-source) | forgets what was recorded
vm-clone | new-name-label | new-name-description | vm templates standard | - | makes a VM like another, with clones of its disks
vm-copy | new-name-label | new-name-description sr-uuid | vm templates single standard | - | makes a VM like another, with whole copies of its disks
vm-snapshot | new-name-label | new-name-description ignore-vdi-uuids | vm standard | - | freezes a VM's settings and disks
vm-checkpoint | new-name-label | new-name-description | vm standard | - | freezes a VM with its memory
snapshot-revert | | uuid snapshot-uuid | standard | - | takes a VM back to a snapshot
snapshot-clone | new-name-label | uuid snapshot-uuid new-name-description | standard | - | makes a template of a snapshot
snapshot-copy | new-name-label | uuid snapshot-uuid new-name-description sr-uuid | standard | - | makes a template of a snapshot, with whole copies of its disks
snapshot-uninstall | | uuid snapshot-uuid force | standard | - | removes a snapshot and its disks
snapshot-destroy | | uuid snapshot-uuid | | - | removes a snapshot, not its disks
snapshot-reset-powerstate | | uuid snapshot-uuid force | standard | - | takes a snapshot as halted
snapshot-disk-list | | uuid snapshot-uuid vbd-params vdi-params | standard | - | shows the disks of a snapshot
snapshot-export-to-template | filename snapshot-uuid | preserve-power-state compress metadata excluded-device-types | standard | - | writes a snapshot into a file
template-export | filename template-uuid | compress metadata excluded-device-types | standard | - | writes a template into a file
template-uninstall | template-uuid | force | standard | - | removes a template and its disks
vm-install | new-name-label | sr-name-label sr-uuid template template-uuid template-name copy-bios-strings-from | standard | - | makes a VM from a template, which is named or whose UUID is given
vm-uninstall | | force | vm standard | - | removes a VM with its snapshots and its disks
vm-create | name-label | name-description | hidden | - | makes a VM without anything
vm-destroy | uuid | | | - | removes a VM, not its disks
console | | | vm | - | connects to a VM's text console
vm-start | | force on paused progress | vm dom0 standard | - | starts a VM
vm-shutdown | | force progress | vm standard | - | asks a VM to shut down; --force stops it
vm-reboot | | force | vm standard | - | asks a VM to reboot; --force stops and starts it
vm-suspend | | progress | vm standard | VM.suspend(@) | puts a VM to sleep
vm-resume | | force on progress | vm standard | VM.resume(@, 'false':bool, force:bool = false) | wakes a VM
vm-pause | | | vm standard | VM.pause(@) | stops a VM's processors
vm-unpause | | | vm standard | VM.unpause(@) | lets a VM's processors go on
vm-reset-powerstate | | force | vm standard | - | takes a VM as halted, whatever it does
vm-migrate | | host host-uuid live force copy remote-master remote-username remote-password remote-network vif: vdi: | vm standard | - | moves a VM to another host
vm-restart-device-models | | | vm standard | VM.restart_device_models(@) | starts a VM's device models again
vm-disk-list | | vbd-params vdi-params | vm standard | - | shows a VM's disks
vm-disk-add | disk-size device | sr-uuid | vm standard | - | gives a VM a new disk
vm-disk-remove | device | | vm standard | - | takes a disk from a VM and destroys it
vm-crashdump-list | | | vm | - | shows a VM's crash dumps
vm-cd-list | | vbd-params vdi-params | vm standard | - | shows a VM's CD drives
vm-cd-add | cd-name device | | vm standard | - | gives a VM a CD drive with a disc
vm-cd-remove | cd-name | | vm standard | - | takes the drive with a disc from a VM
vm-cd-eject | | | vm standard | - | takes the disc out of a VM's CD drive
vm-cd-insert | cd-name | | vm standard | - | puts a disc into a VM's empty CD drive
vm-vif-list | | params | vm standard | - | shows a VM's network interfaces
vm-vcpu-hotplug | new-vcpus | | vm | VM.set_VCPUs_number_live(@, new-vcpus:int) | changes how many processors a running VM has
vm-import | | filename preserve sr-uuid force metadata url vdi: dry-run | standard | - | reads a VM from a file
vm-export | filename | preserve-power-state compress metadata include-snapshots excluded-device-types | vm standard | - | writes a VM into a file
vm-copy-bios-strings | host-uuid | | vm | VM.copy_bios_strings(@, host-uuid:host) | gives a VM the BIOS strings of a host
vm-is-bios-customized | | | vm | - | says whether a VM has BIOS strings of its own
vm-call-plugin | vm-uuid plugin fn | args: | | - | calls a plug-in about a VM
vm-assert-can-be-recovered | uuid | | | VM.assert_can_be_recovered(uuid:VM, 'self':ref) | says whether a VM's storage is there
vm-group-create | name-label placement | name-description | | - | makes a group of VMs
vm-group-destroy | uuid | | | VM_group.destroy(uuid:VM_group) | removes a group of VMs
cd-list | | params | standard | - | shows the discs that VMs can have
vlan-create | pif-uuid vlan network-uuid | | | VLAN.create(pif-uuid:PIF, vlan:int, network-uuid:network) => uuid:VLAN.untagged_PIF | makes a VLAN
vlan-destroy | uuid | | | VLAN.destroy(uuid:VLAN) | removes a VLAN
tunnel-create | pif-uuid network-uuid | protocol | | tunnel.create(pif-uuid:PIF, network-uuid:network, protocol = 'gre') => uuid:tunnel | makes a tunnel
tunnel-destroy | uuid | | | tunnel.destroy(uuid:tunnel) | removes a tunnel
pif-plug | uuid | | | PIF.plug(uuid:PIF) | brings an interface up
pif-unplug | uuid | | | PIF.unplug(uuid:PIF) | takes an interface down
pif-reconfigure-ip | uuid mode | IP netmask gateway DNS | | PIF.reconfigure_ip(uuid:PIF, mode, IP = '', netmask = '', gateway = '', DNS = '') | changes an interface's IPv4
pif-reconfigure-ipv6 | uuid mode | IPv6 gateway DNS | | PIF.reconfigure_ipv6(uuid:PIF, mode, IPv6 = '', gateway = '', DNS = '') | changes an interface's IPv6
pif-set-primary-address-type | uuid primary_address_type | | | PIF.set_primary_address_type(uuid:PIF, primary_address_type) | says which address counts
pif-scan | host-uuid | | | PIF.scan(host-uuid:host) | looks for new interfaces
pif-introduce | host-uuid device | mac managed | | PIF.introduce(host-uuid:host, mac = '', device, managed:bool = true) => uuid:PIF | makes the record of an interface
pif-forget | uuid | | | PIF.forget(uuid:PIF) | removes the record of an interface
bond-create | network-uuid pif-uuids | mac mode properties: | | Bond.create(network-uuid:network, pif-uuids:uuids:PIF, mac = '', mode = 'balance-slb', properties:map) => uuid:Bond | joins interfaces
bond-destroy | uuid | | | Bond.destroy(uuid:Bond) | parts joined interfaces
bond-set-mode | uuid mode | | | Bond.set_mode(uuid:Bond, mode) | says how joined interfaces share
vbd-create | vm-uuid device | vdi-uuid bootable type mode unpluggable | | - | gives a VM a disk or an empty drive
vbd-destroy | uuid | | | VBD.destroy(uuid:VBD) | takes a disk from a VM
vbd-insert | uuid vdi-uuid | | | VBD.insert(uuid:VBD, vdi-uuid:VDI) | puts a disc into a drive
vbd-eject | uuid | | | VBD.eject(uuid:VBD) | takes the disc out of a drive
vbd-plug | uuid | | | VBD.plug(uuid:VBD) | plugs a disk into a running VM
vbd-unplug | uuid | timeout force | | - | unplugs a disk from a running VM
sr-create | name-label type | host-uuid device-config: shared physical-size content-type sm-config: | | - | makes a storage repository
sr-probe | type | host-uuid device-config: sm-config: | | SR.probe(host-uuid:host = host, device-config:map, type, sm-config:map) => text | looks what storage there is
sr-scan | uuid | | | SR.scan(uuid:SR) | looks what disks a storage repository has
sr-introduce | name-label type uuid | shared content-type sm-config: | | - | makes the record of a storage repository
sr-destroy | uuid | | | SR.destroy(uuid:SR) | destroys a storage repository
sr-forget | uuid | | | SR.forget(uuid:SR) | removes the record of a storage repository
sr-update | uuid | | | SR.update(uuid:SR) | looks how full a storage repository is
sr-enable-database-replication | uuid | | | SR.enable_database_replication(uuid:SR) | keeps the database in a storage repository as well
sr-disable-database-replication | uuid | | | SR.disable_database_replication(uuid:SR) | keeps the database there no more
sr-data-source-list | | | sr single | SR.get_data_sources(@) => records | shows what can be recorded of a storage repository
sr-data-source-record | data-source | | sr single | SR.record_data_source(@, data-source) | records something of a storage repository
sr-data-source-query | data-source | | sr single | SR.query_data_source(@, data-source) => number | shows the last value
sr-data-source-forget | data-source | | sr single | SR.forget_data_source_archives(@, data-source) | forgets what was recorded
vdi-create | sr-uuid name-label virtual-size | sm-config: sharable tags: type | | - | makes a disk
vdi-destroy | uuid | | | VDI.destroy(uuid:VDI) | destroys a disk
vdi-forget | uuid | | | VDI.forget(uuid:VDI) | removes the record of a disk
vdi-update | uuid | | | VDI.update(uuid:VDI) | looks at a disk again
vdi-introduce | uuid sr-uuid type location | name-label name-description sharable read-only managed other-config: xenstore-data: sm-config: | | - | makes the record of a disk
vdi-import | uuid filename | format progress | | - | reads a disk's contents from a file
vdi-export | uuid filename | format base progress | | - | writes a disk's contents into a file
vdi-resize | uuid disk-size | online | | - | makes a disk larger
vdi-copy | uuid | sr-uuid base-vdi-uuid into-vdi-uuid | | - | copies a disk
vdi-pool-migrate | uuid sr-uuid | | | VDI.pool_migrate(uuid:VDI, sr-uuid:SR, options:map) => uuid:VDI | moves a disk that is in use
vdi-clone | uuid | driver-params: new-name-label new-name-description | | - | makes a clone of a disk
vdi-snapshot | uuid | driver-params: | | VDI.snapshot(uuid:VDI, driver-params:map) => uuid:VDI | freezes a disk
vdi-unlock | uuid | force | | - | takes the lock from a disk
vdi-enable-cbt | uuid | | | VDI.enable_cbt(uuid:VDI) | notes which blocks change
vdi-disable-cbt | uuid | | | VDI.disable_cbt(uuid:VDI) | notes changed blocks no more
vdi-data-destroy | uuid | | | VDI.data_destroy(uuid:VDI) | destroys a snapshot's data, not what is known of its changes
vdi-list-changed-blocks | vdi-from-uuid vdi-to-uuid | | | VDI.list_changed_blocks(vdi-from-uuid:VDI, vdi-to-uuid:VDI) => text | shows which blocks differ, in base64
pbd-create | host-uuid sr-uuid | device-config: | | - | connects a storage repository to a host
pbd-destroy | uuid | | | PBD.destroy(uuid:PBD) | removes the connection of a storage repository
pbd-plug | uuid | | | PBD.plug(uuid:PBD) | attaches a storage repository
pbd-unplug | uuid | | | PBD.unplug(uuid:PBD) | detaches a storage repository
network-create | name-label | name-description MTU bridge managed | | - | makes a network
network-destroy | uuid | | | network.destroy(uuid:network) | removes a network
vif-create | device network-uuid vm-uuid | mac | | - | gives a VM a network interface
vif-destroy | uuid | | | VIF.destroy(uuid:VIF) | takes a network interface from a VM
vif-plug | uuid | | | VIF.plug(uuid:VIF) | plugs an interface into a running VM
vif-unplug | uuid | force | | - | unplugs an interface from a running VM
vif-move | uuid network-uuid | | | VIF.move(uuid:VIF, network-uuid:network) | moves an interface to another network
vif-configure-ipv4 | uuid mode | address gateway | | VIF.configure_ipv4(uuid:VIF, mode, address = '', gateway = '') | says which IPv4 address a guest takes
vif-configure-ipv6 | uuid mode | address gateway | | VIF.configure_ipv6(uuid:VIF, mode, address = '', gateway = '') | says which IPv6 address a guest takes
task-cancel | uuid | | | task.cancel(uuid:task) | cancels a task
event-wait | class | | | - | waits until an object has these values (name=value, name=/=value)
subject-add | subject-name | | | - | lets a user log in
subject-remove | subject-uuid | | | subject.destroy(subject-uuid:subject) | lets a user log in no more
subject-role-add | uuid | role-name role-uuid | | - | gives a subject a role
subject-role-remove | uuid | role-name role-uuid | | - | takes a role from a subject
session-subject-identifier-list | | | | session.get_all_subject_identifiers() => texts | shows who is logged in
session-subject-identifier-logout | subject-identifier | | | session.logout_subject_identifier(subject-identifier) | ends a subject's sessions
session-subject-identifier-logout-all | | | | - | ends all subjects' sessions
secret-create | value | | | - | keeps a secret
secret-destroy | uuid | | | secret.destroy(uuid:secret) | forgets a secret
vmss-create | name-label type frequency | name-description enabled retained-snapshots schedule: | | - | makes a schedule of snapshots
vmss-destroy | uuid | | | VMSS.destroy(uuid:VMSS) | removes a schedule of snapshots
sdn-controller-introduce | | address protocol tcp-port | | SDN_controller.introduce(protocol = 'ssl', address = '', tcp-port:int = 0) => uuid:SDN_controller | makes a controller of the virtual switch known
sdn-controller-forget | uuid | | | SDN_controller.forget(uuid:SDN_controller) | forgets a controller
appliance-create | name-label | name-description | | - | makes an appliance
appliance-destroy | uuid | | | VM_appliance.destroy(uuid:VM_appliance) | removes an appliance
appliance-start | uuid | paused | | VM_appliance.start(uuid:VM_appliance, paused:bool = false) | starts an appliance's VMs in their order
appliance-shutdown | uuid | force | | - | shuts an appliance's VMs down in their order
diagnostic-gc-compact | | | host single | Diagnostics.gc_compact(@) | gives back the server's memory that nobody needs
diagnostic-vdi-status | uuid | | | - | shows who uses a disk
diagnostic-vm-status | uuid | | standard | - | shows whether a VM can start, and what stands against it
vtpm-create | vm-uuid | is-unique | | VTPM.create(vm-uuid:VM, is-unique:bool = false) => uuid:VTPM | gives a VM a TPM
vtpm-destroy | uuid | force | | VTPM.destroy(uuid:VTPM) | takes a TPM from a VM
patch-upload | file-name | | | - | sends a patch to the host
update-upload | file-name | sr-uuid | | - | sends an update to the host
blob-create | name | mime-type vm-uuid host-uuid sr-uuid network-uuid pool-uuid public | hidden | - | makes a blob of an object
host-crashdump-destroy | uuid | | | host_crashdump.destroy(uuid:host_crashdump) | removes a host's crash dump
`;

export type Selects = 'vm' | 'host' | 'sr';

export interface CommandRow {
  name: string;
  required: string[];
  optional: string[];
  flags: ReadonlySet<string>;
  call: string | undefined;
  about: string;
}

const words = (text: string): string[] => text.split(' ').filter((word) => word !== '');

export const COMMAND_ROWS: readonly CommandRow[] = TABLE.split('\n')
  .filter((line) => line !== '')
  .map((line) => {
    const [name, required, optional, flags, call, about] = line.split('|').map((part) => part.trim());
    return {
      ...{ name, about, required: words(required), optional: words(optional), flags: new Set(words(flags)) },
      call: call === '-' ? undefined : call,
    };
  });
