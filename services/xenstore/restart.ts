// The service starts anew without its clients noticing: state out as a migration stream, a new store from it, everyone attached
// to that. What the stream does not hold is lost on purpose: it is what a new process would not have either.
import { restoreStore, saveStore } from './protocol/migration.ts';
import type { Store } from './protocol/store.ts';

/** A socket's listener, a guest's ring, a client in this process: whoever holds connections of the store. */
export interface StoreUser {
  attach(store: Store): unknown;
}

/** The store that takes the place of `store`, which is not to be used any more. Call it between requests, not from within one. */
export function restartStore(store: Store, users: Iterable<StoreUser>): Store {
  const next = restoreStore(saveStore(store), store.options);
  next.administration = store.administration;
  next.onLog = store.onLog;
  for (const user of users) user.attach(next);
  return next;
}
