/** The host's own records: made at the first start, made true at each. */
import { networkInterfaces, type NetworkInterfaceInfo } from 'node:os';
import { API_VERSION } from '../../../spec/xenapi/index.ts';
import { NULL_REF, type Value } from '../../../spec/xenapi/types.ts';
import type { Row } from '../database/row.ts';
import { timeText } from '../rpc/decode.ts';
import type { Certificate } from '../rpc/certificate.ts';
import { DRIVERS } from '../SR/messages.ts';
import { updateAllowed } from '../VM/operations.ts';
import { halted } from '../VM/state.ts';
import type { Xapi } from '../xapi.ts';
import type { HostFacts } from '../xenops/xenops.ts';

type Values = Record<string, Value>;

/** Clients decide by these what a host can do; they name the level of XenAPI that the tables describe. */
const PRODUCT_VERSION = '8.3.0';
const PLATFORM_VERSION = '3.4.0';
const XAPI_VERSION = '24.10.0';
/** When a licence ends that does not. */
const NEVER = '20991231T23:59:59Z';

export interface Place {
  facts: HostFacts;
  /** Where clients reach the API; the first address that is not the machine's own if none is known. */
  address: string;
  certificate?: Certificate;
}

/** The row of that UUID with these values, made if it is not there. */
function make(xapi: Xapi, name: string, match: (row: Row) => boolean, values: Values, initial: Values = {}): Row {
  const { db } = xapi;
  const found = [...db.table(name).values()].find(match);
  if (found) {
    db.set(found, values);
    return found;
  }
  return db.create(name, { ...initial, ...values });
}

function softwareVersion({ version, xenops }: Xapi, { xen, hostname }: HostFacts): Record<string, string> {
  return {
    ...{ product_brand: 'Xenolith', product_version: PRODUCT_VERSION, product_version_text: PRODUCT_VERSION },
    ...{ platform_name: 'XCP', platform_version: PLATFORM_VERSION, build_number: version, xenolith: version },
    ...{ xapi: XAPI_VERSION, xen, hostname, dbv: '0.0.1', xencenter_min: '2.21', xencenter_max: '2.21' },
    network_backend: xenops.backend,
  };
}

/** What other software says of versions, read anew. */
export function refreshVersion(xapi: Xapi, host: Row): void {
  xapi.db.set(host, { software_version: softwareVersion(xapi, xapi.xenops.facts()) });
}

function cpuInfo({ cpus, features }: HostFacts): Record<string, string> {
  const [first] = cpus;
  return {
    ...{ cpu_count: String(cpus.length), socket_count: '1', threads_per_core: '1' },
    ...{ vendor: first.vendor, modelname: first.model, speed: first.mhz.toFixed(3) },
    ...{
      features,
      features_pv: features,
      features_hvm: features,
      features_hvm_host: features,
      features_pv_host: features,
    },
  };
}

function makeHost(xapi: Xapi, { facts, address }: Place): Row {
  const { hostname, capabilities, scheduler } = facts;
  const metrics = make(xapi, 'host_metrics', () => true, {
    ...{ memory_total: facts.memory, live: true, last_updated: timeText(Date.now()) },
  });
  return make(
    xapi,
    'host',
    () => true,
    {
      ...{ hostname, address, capabilities, sched_policy: scheduler, metrics: metrics.ref, cpu_info: cpuInfo(facts) },
      ...{ API_version_major: API_VERSION.major, API_version_minor: API_VERSION.minor },
      ...{ API_version_vendor: 'Xenolith', API_version_vendor_implementation: { version: xapi.version } },
      software_version: softwareVersion(xapi, facts),
      license_params: { ...restrictions(xapi), expiry: NEVER },
      supported_bootloaders: ['pygrub'],
      allowed_operations: ['provision', 'vm_start'],
      current_operations: {},
    },
    { name_label: hostname, name_description: '', enabled: true, edition: 'xcp-ng', tags: [] },
  );
}

/** What needs a licence elsewhere is there, or is not: clients hide what is restricted. */
const RESTRICTED = [
  ...['gpu', 'vgpu', 'integrated_gpu_passthrough', 'usb_passthrough', 'pvs_proxy', 'corosync', 'cluster_address'],
  ...['checkpoint', 'vss', 'dr', 'wlb', 'ad', 'intellicache', 'network_sriov', 'live_patching', 'rpu', 'updates'],
  ...['xen_motion', 'storage_xen_motion', 'pool_secret_rotation', 'vtpm', 'nested_virt'],
];
const OPEN = [
  ...['vlan', 'qos', 'pool_attached_storage', 'pooling', 'rbac', 'dmc', 'historical_performance', 'connection'],
  ...['vmss', 'vif_locking', 'guest_agent_auto_update', 'guest_ip_setting', 'set_vcpus_number_live', 'cbt'],
  ...['zstd_export', 'certificate_verification', 'vm_groups'],
];

function restrictions({ xenops }: Xapi): Record<string, string> {
  const bridged = xenops.backend === 'bridge';
  const all: [string, boolean][] = [
    ...RESTRICTED.map((name): [string, boolean] => [name, true]),
    ...OPEN.map((name): [string, boolean] => [name, false]),
    ...['vswitch_controller', 'igmp_snooping'].map((name): [string, boolean] => [name, bridged]),
  ];
  const found = Object.fromEntries(all.map(([name, value]) => [`restrict_${name}`, String(value)]));
  return { ...found, enable_xha: 'false', platform_filter: 'false', regular_nag_dialog: 'false' };
}

function makePool(xapi: Xapi, host: Row): void {
  const old = xapi.db.table('pool').values().next().value;
  // A database of before certificates were looked at.
  if (!old?.flag('tls_verification_enabled')) xapi.db.set(host, { tls_verification_enabled: true });
  const values = {
    ...{ master: host.ref, cpu_info: { ...host.map('cpu_info') }, current_operations: {} },
    ...{ restrictions: restrictions(xapi), tls_verification_enabled: true },
  };
  const none = { default_SR: NULL_REF, suspend_image_SR: NULL_REF, crash_dump_SR: NULL_REF };
  make(xapi, 'pool', () => true, values, {
    ...none,
    name_label: '',
    name_description: '',
  });
}

/** A PIF's MAC and addresses are those of the machine's own interface. */
type Interface = [string, NetworkInterfaceInfo[]];

function managementInterface(address: string): Interface | undefined {
  const all = Object.entries(networkInterfaces()) as Interface[];
  const outside = all.filter(([, addresses]) => addresses.some(({ internal }) => !internal));
  return all.find(([, list]) => list.some((each) => each.address === address && !each.internal)) ?? outside[0];
}

/** The host's default network, which leads outside. */
const BRIDGE = 'xenbr0';

function makeNetworks(xapi: Xapi, host: Row, address: string): void {
  make(
    xapi,
    'network',
    (row) => row.map('other_config').is_host_internal_management_network === 'true',
    {},
    {
      name_label: 'Host internal management network',
      name_description: 'Guests reach their host here',
      bridge: 'xenapi',
      other_config: { is_host_internal_management_network: 'true', is_guest_installer_network: 'true' },
    },
  );
  const found = managementInterface(address);
  if (!found) return;
  const [device, addresses] = found;
  // A part of a bond has no addresses of its own.
  const parts = [...xapi.db.table('PIF').values()].filter((row) => row.text('bond_slave_of') !== NULL_REF);
  if (parts.some((row) => row.text('device') === device)) return;
  const four = addresses.find(({ family }) => family === 'IPv4');
  const six = addresses.filter(({ family }) => family === 'IPv6').map(({ cidr }) => cidr!);
  const name = `Pool-wide network associated with ${device}`;
  const network = make(
    xapi,
    'network',
    (row) => row.text('bridge') === BRIDGE,
    {},
    { name_label: name, bridge: BRIDGE },
  );
  const pif = make(
    xapi,
    'PIF',
    (row) => row.text('device') === device && row.number('VLAN') === -1,
    {
      ...{ MAC: addresses[0].mac, IP: four?.address ?? '', netmask: four?.netmask ?? '', IPv6: six, management: true },
      ...{ ip_configuration_mode: four ? 'DHCP' : 'None', primary_address_type: four ? 'IPv4' : 'IPv6' },
      ...{ host: host.ref, network: network.ref, currently_attached: true },
    },
    { device, MTU: 1500, VLAN: -1, physical: true, managed: true },
  );
  const metrics = { carrier: true, last_updated: timeText(Date.now()), device_name: device };
  if (pif.text('metrics') === NULL_REF) xapi.db.set(pif, { metrics: xapi.db.create('PIF_metrics', metrics).ref });
  else xapi.db.set(xapi.db.row('PIF_metrics', pif.text('metrics')), metrics);
}

/** Domain 0 is the toolstack's domain: this process. */
function makeControlDomain(xapi: Xapi, host: Row, { hostname, cpus }: HostFacts): void {
  const { db } = xapi;
  const memory = 0;
  const vm = make(
    xapi,
    'VM',
    (row) => row.flag('is_control_domain'),
    {
      ...{ name_label: `Control domain on host: ${hostname}`, power_state: 'Running', domid: 0, resident_on: host.ref },
      ...{
        memory_static_max: memory,
        memory_static_min: memory,
        memory_dynamic_max: memory,
        memory_dynamic_min: memory,
      },
      ...{ memory_target: memory, VCPUs_max: cpus.length, VCPUs_at_startup: cpus.length, domain_type: 'pv' },
    },
    {
      ...{ is_control_domain: true, is_a_template: false, affinity: host.ref },
      ...{ name_description: 'Runs the toolstack' },
    },
  );
  const now = timeText(Date.now());
  const values = {
    memory_actual: memory,
    VCPUs_number: cpus.length,
    start_time: now,
    last_updated: now,
    state: ['running'],
  };
  if (vm.text('metrics') === NULL_REF) db.set(vm, { metrics: db.create('VM_metrics', values).ref });
  else db.set(db.row('VM_metrics', vm.text('metrics')), values);
  db.set(host, { control_domain: vm.ref });
  updateAllowed(xapi, vm);
}

function makeCpus(xapi: Xapi, host: Row, { cpus }: HostFacts): void {
  const { db } = xapi;
  const old = host.refs('host_CPUs').map((ref) => db.row('host_cpu', ref));
  for (const row of old) if (row.number('number') >= cpus.length) db.destroy(row);
  cpus.forEach(({ vendor, model, mhz }, number) => {
    const values = { host: host.ref, number, vendor, modelname: model, speed: Math.round(mhz) };
    make(xapi, 'host_cpu', (row) => row.number('number') === number, values);
  });
}

/** Another certificate is another object. */
export function recordCertificate(xapi: Xapi, host: Row, { fingerprint, notBefore, notAfter }: Certificate): void {
  const { db } = xapi;
  db.change(() => {
    const rows = [...db.table('Certificate').values()].filter((row) => row.text('type') === 'host');
    const others = rows.filter((row) => row.text('fingerprint') !== fingerprint);
    for (const row of others) db.destroy(row);
    if (others.length < rows.length) return;
    const valid = { not_before: timeText(notBefore.getTime()), not_after: timeText(notAfter.getTime()) };
    db.create('Certificate', { type: 'host', host: host.ref, fingerprint, ...valid });
  });
}

const DEVICES = ['VBD', 'VIF', 'VUSB', 'VGPU'];

/** Guests live in the host's process and went with the last one; what was being done is done no more. */
export function reconcileAll(xapi: Xapi): void {
  for (const vm of xapi.db.table('VM').values()) {
    if (vm.flag('is_control_domain')) continue;
    if (['Running', 'Paused'].includes(vm.text('power_state'))) halted(xapi, vm);
    updateAllowed(xapi, vm);
  }
  // Also of those that were about to start: their disks were held already.
  for (const name of DEVICES)
    for (const row of xapi.db.table(name).values())
      if (row.flag('currently_attached')) xapi.db.set(row, { currently_attached: false });
}

function makeDrivers(xapi: Xapi): void {
  for (const [type, { label, about, capabilities }] of Object.entries(DRIVERS)) {
    const features = Object.fromEntries(capabilities.map((each) => [each, 1]));
    const configuration = { location: 'folder, below that of all storage of the host (optional)' };
    make(xapi, 'SM', (row) => row.text('type') === type, {
      ...{ name_label: label, name_description: about, vendor: 'Xenolith', copyright: '', version: xapi.version, type },
      ...{ required_api_version: '1.0', configuration, capabilities, features, driver_filename: '' },
      supported_image_formats: type === 'iso' ? [] : ['qcow2', 'vhd', 'raw'],
    });
  }
}

export function takeInventory(xapi: Xapi, place: Place): void {
  xapi.db.change(() => {
    const host = makeHost(xapi, place);
    makePool(xapi, host);
    xapi.tasks.host = host.ref;
    makeCpus(xapi, host, place.facts);
    makeDrivers(xapi);
    makeNetworks(xapi, host, place.address);
    if (place.certificate) recordCertificate(xapi, host, place.certificate);
    reconcileAll(xapi);
    makeControlDomain(xapi, host, place.facts);
  });
}
