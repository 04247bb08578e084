/** Messages for administrators: kept in the database like everything else, told as events. */
import type { Database } from '../database/database.ts';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import type { Handlers } from '../messages.ts';
import { timeText } from '../rpc/decode.ts';

/** Older ones go. */
const MAX_MESSAGES = 10_000;

/** Classes as a message's `cls` has them, and those objects' class. */
const CLASS_OF: Record<string, string> = {
  ...{ VM: 'VM', Host: 'host', SR: 'SR', Pool: 'pool', VMPP: 'VMPP', VMSS: 'VMSS', VDI: 'VDI' },
  ...{ PVS_proxy: 'PVS_proxy', Certificate: 'Certificate' },
};

const after = (db: Database, time: string, cls?: string, uuid?: string): Map<string, Row> =>
  new Map(
    [...db.table('message')].filter(
      ([, row]) =>
        row.text('timestamp') > time &&
        (cls === undefined || (row.text('cls') === cls && row.text('obj_uuid') === uuid)),
    ),
  );

/** Tells administrators of something. */
export function tell(db: Database, name: string, priority: number, cls: string, uuid: string, body: string): Row {
  return db.change(() => {
    const table = db.table('message');
    if (table.size >= MAX_MESSAGES) db.destroy(table.values().next().value!);
    const timestamp = timeText(Date.now());
    return db.create('message', { name, priority, cls, obj_uuid: uuid, timestamp, body });
  });
}

export const message: Handlers = {
  'message.create': (args, { xapi }) => {
    const [cls, uuid] = [args.text('cls'), args.text('obj_uuid')];
    const of = CLASS_OF[cls];
    if (!of || !xapi.db.hasUuid(of, uuid)) throw new Failure('UUID_INVALID', cls, uuid);
    return tell(xapi.db, args.text('name'), args.number('priority'), cls, uuid, args.text('body')).ref;
  },
  'message.destroy': (args, { xapi }) => xapi.db.destroy(args.row('self')),
  'message.destroy_many': (args, { xapi }) => {
    const { db } = xapi;
    db.change(() => args.list('messages').forEach((ref) => db.destroy(db.row('message', ref))));
  },
  'message.get': (args, { xapi }) => after(xapi.db, args.text('since'), args.text('cls'), args.text('obj_uuid')),
  'message.get_all': (_args, { xapi }) => [...xapi.db.table('message').keys()],
  'message.get_since': (args, { xapi }) => after(xapi.db, args.text('since')),
  'message.get_record': (args) => args.row('self'),
  'message.get_by_uuid': (args, { xapi }) => xapi.db.byUuid('message', args.text('uuid')).ref,
  'message.get_all_records': (_args, { xapi }) => new Map(xapi.db.table('message')),
  // Real hosts look at nothing but `true` here as well.
  'message.get_all_records_where': (_args, { xapi }) => new Map(xapi.db.table('message')),
};
