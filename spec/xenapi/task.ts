import { define } from './notation.ts';

export const task = define({
  name: 'task',
  about: 'A piece of work that takes time',
  lifecycle: 'rio',
  change: 'pool-operator',
  transient: true,
  enums: {
    task_allowed_operations: 'cancel destroy',
    task_status_type: 'pending success failure cancelling cancelled',
  },
  // prettier-ignore
  fields: [
    ['uuid', 'RO', 'string', 'rio'],
    ['name_label', 'RO', 'string = ""', 'rio'],
    ['name_description', 'RO', 'string = ""', 'rio'],
    ['allowed_operations', 'RO', 'enum task_allowed_operations set = {}', 'rio'],
    ['current_operations', 'RO', '(string -> enum task_allowed_operations) map = {}', 'rio'],
    ['created', 'RO', 'datetime', 'rio', 'when it began'],
    ['finished', 'RO', 'datetime', 'rio', 'when it ended; meaningless while it is pending'],
    ['status', 'RO', 'enum task_status_type', 'rio', 'how it stands'],
    ['resident_on', 'RO', 'host ref', 'rio', 'the host that does it'],
    ['progress', 'RO', 'float', 'rio', 'done part, 0 to 1'],
    ['type', 'RO', 'string', 'rio', 'type of the result'],
    ['result', 'RO', 'string', 'rio', 'the answer, as an XML-RPC value'],
    ['error_info', 'RO', 'string set', 'rio', 'error code and parameters of a failure'],
    ['other_config', 'RW', '(string -> string) map = {}', 'miami', undefined, { keys: 'applies_to XenCenterUUID XenCenterMeddlingActionTitle' }],
    ['subtask_of', 'RO', 'task ref = Null', 'orlando', 'the larger task it is part of'],
    ['subtasks', 'RO', 'task ref set', 'orlando', 'its parts'],
    ['backtrace', 'RO', 'string = "()"', 'dundee', 'where in the program it failed'],
  ],
  // prettier-ignore
  messages: [
    ['create', 'string label, string description', 'task ref', 'anyone', 'rio', 'makes a task that the client drives itself'],
    ['destroy', 'task ref self', 'void', 'anyone', 'rio', 'removes the record'],
    ['cancel', 'task ref task', 'void', 'anyone', 'rio', 'asks for the work to be given up'],
    ['set_status', 'task ref self, enum task_status_type value', 'void', 'anyone', 'falcon', "ends or changes a client's own task"],
    ['set_progress', 'task ref self, float value', 'void', 'anyone', 'stockholm', "tells how far a client's own task is"],
    ['set_result', 'task ref self, string value', 'void', 'anyone', '21.3.0', "replaces the result of a client's own task"],
    ['set_error_info', 'task ref self, string set value', 'void', 'anyone', '21.3.0', "replaces the error of a client's own task"],
  ],
  errors: {
    cancel: 'OPERATION_NOT_ALLOWED',
  },
});
