import { Failure } from '../failure.ts';
import type { Handlers } from '../messages.ts';

export const PBD: Handlers = {
  'PBD.create': (args, { xapi }) => {
    const { db } = xapi;
    const given = args.record('args');
    const sr = db.row('SR', given.SR as string);
    if (given.host !== xapi.hostRef) throw new Failure('HOST_OFFLINE', given.host as string);
    const other = sr.refs('PBDs').find((ref) => db.row('PBD', ref).text('host') === given.host);
    if (other) throw new Failure('PBD_EXISTS', sr.ref, given.host as string, other);
    // A place that cannot be is refused before there is a record of it.
    const { location } = given.device_config as Record<string, string>;
    if (location) xapi.storage.locate(location);
    return db.create('PBD', { ...given, currently_attached: false }).ref;
  },
  'PBD.destroy': (args, { xapi }) => {
    const pbd = args.row('self');
    if (pbd.flag('currently_attached'))
      throw new Failure('OPERATION_NOT_ALLOWED', 'the PBD is attached: unplug it first');
    xapi.db.destroy(pbd);
  },
  'PBD.plug': async (args, { xapi }) => {
    const pbd = args.row('self');
    if (pbd.flag('currently_attached')) return;
    const sr = xapi.db.row('SR', pbd.text('SR'));
    xapi.storage.assertThere(sr);
    xapi.db.set(pbd, { currently_attached: true });
    await xapi.storage.scan(sr);
    xapi.storage.chains.kick(sr);
  },
  'PBD.unplug': (args, { xapi }) => {
    const { db } = xapi;
    const pbd = args.row('self');
    if (!pbd.flag('currently_attached')) return;
    for (const ref of db.row('SR', pbd.text('SR')).refs('VDIs'))
      xapi.storage.assertUnused(db.row('VDI', ref), 'unplug');
    db.set(pbd, { currently_attached: false });
  },
  'PBD.set_device_config': (args, { xapi }) => {
    const pbd = args.row('self');
    if (pbd.flag('currently_attached'))
      throw new Failure('OPERATION_NOT_ALLOWED', 'the PBD is attached: unplug it first');
    const config = args.map('value');
    if (config.location) xapi.storage.locate(config.location);
    xapi.db.set(pbd, { device_config: config });
  },
};
