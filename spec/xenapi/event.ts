import { define } from './notation.ts';

export const event = define({
  name: 'event',
  about: 'A change that somebody may watch',
  lifecycle: 'rio',
  change: 'pool-admin',
  kind: 'explicit',
  enums: {
    event_operation: 'add del mod',
  },
  fields: [
    ['snapshot', 'RO', '<class> record', 'boston', 'the object after the change'],
    ['id', 'ctor', 'int', 'rio', 'number of the event'],
    ['timestamp', 'ctor', 'datetime', 'rio !boston', 'when it happened'],
    ['class', 'ctor', 'string', 'rio', 'what is changed, by class'],
    ['operation', 'ctor', 'enum event_operation', 'rio', 'kind of change'],
    ['ref', 'ctor', 'string', 'rio', 'the changed object'],
    ['obj_uuid', 'ctor', 'string', 'rio !boston', 'its UUID'],
  ],
  // prettier-ignore
  messages: [
    ['register', 'string set classes', 'void', 'anyone', 'rio !boston', 'wants events of these classes for this session'],
    ['unregister', 'string set classes', 'void', 'anyone', 'rio !boston', 'stops events of these classes for this session'],
    ['next', '', 'event record set', 'anyone', 'rio !boston', 'waits for the next events of a registered session'],
    ['from', 'string set classes, string token, float timeout', 'an event batch', 'anyone', 'boston', 'waits for changes after a token'],
    ['get_current_id', '', 'int', 'anyone', 'rio', 'tells the number of the latest event'],
    ['inject', 'string class, string ref', 'string', 'anyone', 'tampa', 'marks an object as changed and returns a token from before that'],
  ],
  errors: {
    next: 'SESSION_NOT_REGISTERED EVENTS_LOST',
    from: 'SESSION_NOT_REGISTERED EVENTS_LOST',
  },
});
