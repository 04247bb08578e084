/**
 * What no guest here can: to be saved, moved or woken. The answer is what a real host says of such a guest, by the same checks, so
 * a client sees a wrong power state before it sees the lack.
 */
import type { Handler, Handlers } from '../messages.ts';
import { assertAllowed } from './operations.ts';

const refuse =
  (operation: string, parameter = 'vm'): Handler =>
  (args) => {
    assertAllowed(args.row(parameter), operation);
    throw new Error(`${operation} is allowed, but there is no way to do it`);
  };

export const refusals: Handlers = {
  'VM.suspend': refuse('suspend'),
  'VM.resume': refuse('resume'),
  'VM.resume_on': refuse('resume_on'),
  'VM.checkpoint': refuse('checkpoint'),
  'VM.pool_migrate': refuse('pool_migrate'),
  'VM.migrate_send': refuse('migrate_send'),
  'VM.assert_can_migrate': refuse('migrate_send'),
};
