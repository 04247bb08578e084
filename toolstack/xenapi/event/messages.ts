import type { Handlers } from '../messages.ts';

const either = (...signals: AbortSignal[]): AbortSignal => AbortSignal.any(signals);

export const event: Handlers = {
  'event.from': (args, { xapi, signal, session }) =>
    xapi.events.from(
      args.list('classes'),
      args.text('token'),
      args.number('timeout'),
      either(signal, session.end.signal),
    ),
  'event.inject': (args, { xapi }) => xapi.events.inject(args.text('class'), args.text('ref')),
  'event.get_current_id': (_args, { xapi }) => xapi.db.generation,
  'event.register': (args, { xapi, session }) => xapi.events.register(session.ref, args.list('classes')),
  'event.unregister': (args, { xapi, session }) => xapi.events.unregister(session.ref, args.list('classes')),
  'event.next': (_args, { xapi, signal, session }) => xapi.events.next(session.ref, either(signal, session.end.signal)),
};
