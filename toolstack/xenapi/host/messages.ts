import { hostname } from 'node:os';
import { Failure } from '../failure.ts';
import type { Handlers } from '../messages.ts';
import { timeText } from '../rpc/decode.ts';
import { listMethods } from '../dispatch.ts';

/** Local time as XenAPI writes it, which has no zone. */
function localTime(): string {
  const now = new Date();
  return timeText(now.getTime() - now.getTimezoneOffset() * 60_000).slice(0, -1);
}

export const host: Handlers = {
  'host.get_servertime': () => timeText(Date.now()),
  'host.get_server_localtime': localTime,
  'host.list_methods': () => listMethods(),
  'host.compute_free_memory': (_args, { xapi }) => Math.max(0, xapi.xenops.freeMemory()),
  'host.compute_memory_overhead': (args) => args.row('host').number('memory_overhead'),
  'host.dmesg': (_args, { xapi }) => xapi.xenops.dmesg(false),
  'host.dmesg_clear': (_args, { xapi }) => xapi.xenops.dmesg(true),
  'host.send_debug_keys': (args, { xapi }) => xapi.xenops.debugKeys(args.text('keys')),
  'host.enable': (args, { xapi }) => xapi.db.set(args.row('host'), { enabled: true }),
  'host.disable': (args, { xapi }) => xapi.db.set(args.row('host'), { enabled: false }),
  'host.has_extension': () => false,
  'host.get_management_interface': (args, { xapi }) => {
    const pif = args
      .row('host')
      .refs('PIFs')
      .find((ref) => xapi.db.row('PIF', ref).flag('management'));
    if (!pif) throw new Failure('HOST_HAS_NO_MANAGEMENT_IP');
    return pif;
  },
  'host.get_server_certificate': (_args, { xapi }) => {
    if (!xapi.certificate) throw new Failure('INVALID_VALUE', 'certificate', `${hostname()} serves no TLS`);
    return xapi.certificate.cert;
  },
  'host.get_uncooperative_resident_VMs': () => [],
  'host.get_vms_which_prevent_evacuation': (args, { xapi }) => {
    const stuck = args.row('self').refs('resident_VMs');
    const guests = stuck.filter((ref) => !xapi.db.row('VM', ref).flag('is_control_domain'));
    return Object.fromEntries(guests.map((ref) => [ref, ['NO_HOSTS_AVAILABLE']]));
  },
  'host.assert_can_evacuate': (args, { xapi }) => {
    const guest = args
      .row('host')
      .refs('resident_VMs')
      .find((ref) => !xapi.db.row('VM', ref).flag('is_control_domain'));
    if (guest) throw new Failure('CANNOT_EVACUATE_HOST', `NO_HOSTS_AVAILABLE,${guest}`);
  },
};
