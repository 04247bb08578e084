import { Failure } from '../failure.ts';
import type { Handlers } from '../messages.ts';

export const network: Handlers = {
  'network.create': (args, { xapi }) => {
    const { db } = xapi;
    const given = args.record('args');
    const used = new Set([...db.table('network').values()].map((row) => row.text('bridge')));
    const wanted = given.bridge as string;
    if (wanted !== '' && used.has(wanted)) throw new Failure('BRIDGE_NAME_EXISTS', wanted);
    let number = 0;
    while (used.has(`xapi${number}`)) number++;
    return db.create('network', { ...given, bridge: wanted || `xapi${number}`, purpose: [] }).ref;
  },
  'network.destroy': (args, { xapi }) => {
    const row = args.row('self');
    if (row.map('other_config').is_host_internal_management_network === 'true')
      throw new Failure('OPERATION_NOT_ALLOWED', 'the host needs its internal network');
    const attached = row.refs('VIFs').filter((ref) => xapi.db.row('VIF', ref).flag('currently_attached'));
    if (attached.length > 0) throw new Failure('NETWORK_CONTAINS_VIF', ...attached);
    const pifs = row.refs('PIFs');
    if (pifs.length > 0) throw new Failure('NETWORK_CONTAINS_PIF', ...pifs);
    xapi.db.change(() => {
      for (const ref of row.refs('VIFs')) xapi.db.destroy(xapi.db.row('VIF', ref));
      xapi.db.destroy(row);
    });
  },
  'network.set_default_locking_mode': (args, { xapi }) => {
    const row = args.row('network');
    // What has been plugged in keeps to what was said then.
    const attached = row.refs('VIFs').find((ref) => xapi.db.row('VIF', ref).flag('currently_attached'));
    if (attached !== undefined) throw new Failure('VIF_IN_USE', row.ref, attached);
    xapi.db.set(row, { default_locking_mode: args.text('value') });
  },
  'network.add_purpose': async (args, { xapi }) => {
    const [row, value] = [args.row('self'), args.text('value')];
    const now = row.refs('purpose');
    const other = { nbd: 'insecure_nbd', insecure_nbd: 'nbd' }[value];
    if (other && now.includes(other)) throw new Failure('NETWORK_INCOMPATIBLE_PURPOSES', value, other);
    if (!now.includes(value)) xapi.db.set(row, { purpose: [...now, value] });
    await xapi.nbd.update();
  },
  'network.remove_purpose': async (args, { xapi }) => {
    const row = args.row('self');
    xapi.db.set(row, { purpose: row.refs('purpose').filter((each) => each !== args.text('value')) });
    await xapi.nbd.update();
  },
};
