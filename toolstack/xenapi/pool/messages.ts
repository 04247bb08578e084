import type { Handlers } from '../messages.ts';

export const pool: Handlers = {
  'pool.sync_database': (_args, { xapi }) => xapi.db.durable(),
  'pool.has_extension': () => false,
};
