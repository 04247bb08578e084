import { define } from './notation.ts';

export const message = define({
  name: 'message',
  about: 'Something an administrator should know',
  lifecycle: 'orlando',
  change: 'pool-operator',
  kind: 'explicit',
  enums: {
    cls: 'VM Host SR Pool VMPP VMSS PVS_proxy VDI Certificate',
  },
  fields: [
    ['uuid', 'RO', 'string', 'rio'],
    ['name', 'RO', 'string', 'rio', 'kind of message'],
    ['priority', 'RO', 'int', 'rio', 'urgency; 1 is the highest'],
    ['cls', 'RO', 'enum cls', 'orlando +1.313.0', 'class of the object meant'],
    ['obj_uuid', 'RO', 'string', 'rio', 'UUID of the object meant'],
    ['timestamp', 'RO', 'datetime', 'rio', 'when it was written'],
    ['body', 'RO', 'string', 'rio', 'its text'],
  ],
  // prettier-ignore
  messages: [
    ['create', 'string name, int priority, enum cls cls, string obj_uuid, string body', 'message ref', 'pool-operator', 'orlando', 'writes one'],
    ['destroy', 'message ref self', 'void', 'pool-operator', 'orlando', 'deletes one'],
    ['destroy_many', 'message ref set messages', 'void', 'pool-operator', '~22.19.0', 'deletes several'],
    ['get', 'enum cls cls, string obj_uuid, datetime since', '(message ref -> message record) map', 'anyone', 'orlando', "returns an object's own after a time"],
    ['get_all', '', 'message ref set', 'anyone', 'orlando', 'lists all'],
    ['get_since', 'datetime since', '(message ref -> message record) map', 'anyone', 'orlando', 'returns those after a time'],
    ['get_record', 'message ref self', 'message record', 'anyone', 'orlando', 'returns the record of one'],
    ['get_by_uuid', 'string uuid', 'message ref', 'anyone', 'orlando', 'finds one by UUID'],
    ['get_all_records', '', '(message ref -> message record) map', 'anyone', 'orlando', 'returns all with their records'],
    ['get_all_records_where', 'string expr', '(message ref -> message record) map', 'anyone', 'orlando', 'returns records for which an expression holds'],
  ],
});
