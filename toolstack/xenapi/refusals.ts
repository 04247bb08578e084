/**
 * What a real host would do and this one cannot, with what a real host says then. No guest can be saved, moved or woken: the same
 * checks say so, and a client sees a wrong power state before it sees the lack. There are no plug-ins.
 */
import { Failure } from './failure.ts';
import type { Handler, Handlers } from './messages.ts';
import { assertAllowed } from './VM/operations.ts';

const refuse =
  (operation: string, parameter = 'vm'): Handler =>
  (args) => {
    assertAllowed(args.row(parameter), operation);
    throw new Error(`${operation} is allowed, but there is no way to do it`);
  };

const noPlugin: Handler = (args) => {
  throw new Failure('XENAPI_MISSING_PLUGIN', args.text('plugin'));
};

export const refusals: Handlers = {
  'host.call_plugin': noPlugin,
  'VM.call_plugin': noPlugin,
  'VM.suspend': refuse('suspend'),
  'VM.resume': refuse('resume'),
  'VM.resume_on': refuse('resume_on'),
  'VM.checkpoint': refuse('checkpoint'),
  'VM.pool_migrate': refuse('pool_migrate'),
  'VM.migrate_send': refuse('migrate_send'),
  'VM.assert_can_migrate': refuse('migrate_send'),
};
