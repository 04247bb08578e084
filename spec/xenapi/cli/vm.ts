/** What a VM, a template and a snapshot look like to `xe`. */
export const VM_FIELDS = `
  uuid
  name-label rw
  name-description rw
  user-version rw
  is-a-template rw
  is-default-template
  is-a-snapshot
  snapshot-of
  snapshots plain
  snapshot-time
  transportable-snapshot-id hidden
  snapshot-info plain
  parent
  children plain
  is-control-domain
  power-state
  memory-actual = metrics.memory_actual
  memory-target expensive
  memory-overhead
  memory-static-max bytes rw
  memory-dynamic-max bytes rw
  memory-dynamic-min bytes rw
  memory-static-min bytes rw
  suspend-VDI-uuid rw
  suspend-SR-uuid rw
  VCPUs-params map rw
  VCPUs-max rw
  VCPUs-at-startup rw
  actions-after-shutdown rw
  actions-after-reboot rw
  actions-after-crash rw
  console-uuids set = consoles
  hvm = metrics.hvm ? false
  nomigrate hidden = metrics.nomigrate ? false
  nested-virt hidden = metrics.nested_virt ? false
  platform map rw
  allowed-operations set
  current-operations set values
  blocked-operations map rw
  allowed-VBD-devices set expensive = @allowed_VBD_devices
  allowed-VIF-devices set expensive = @allowed_VIF_devices
  possible-hosts expensive = @possible_hosts
  domain-type rw
  current-domain-type = metrics.current_domain_type
  HVM-boot-policy rw
  HVM-boot-params map rw
  HVM-shadow-multiplier
  NVRAM hidden map rw
  PV-kernel rw
  PV-ramdisk rw
  PV-args rw
  PV-legacy-args rw
  PV-bootloader rw
  PV-bootloader-args rw
  last-boot-CPU-flags plain
  last-boot-record expensive = @last_boot_record
  resident-on
  affinity rw
  other-config map rw
  dom-id = domid
  recommendations
  xenstore-data map rw
  ha-always-run old
  ha-restart-priority
  blobs plain
  start-time = metrics.start_time ? <unknown time>
  install-time = metrics.install_time ? <unknown time>
  VCPUs-number = metrics.VCPUs_number
  VCPUs-utilisation map expensive = @utilisation
  os-version map = guest_metrics.os_version
  PV-drivers-version map = guest_metrics.PV_drivers_version
  PV-drivers-up-to-date old = guest_metrics.PV_drivers_up_to_date
  VBDs set
  networks map = guest_metrics.networks
  PV-drivers-detected = guest_metrics.PV_drivers_detected
  other map = guest_metrics.other
  live = guest_metrics.live
  guest-metrics-last-updated = guest_metrics.last_updated
  can-use-hotplug-vbd = guest_metrics.can_use_hotplug_vbd
  can-use-hotplug-vif = guest_metrics.can_use_hotplug_vif
  tags set comma rw
  appliance rw
  snapshot-schedule
  is-vmss-snapshot
  start-delay rw
  shutdown-delay rw
  order rw
  version
  generation-id
  hardware-platform-version
  has-vendor-device
  requires-reboot
  reference-label
  bios-strings map setmap rw
  pending-guidances plain
  vtpms plain = VTPMs
`;
