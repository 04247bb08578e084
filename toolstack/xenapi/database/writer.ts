// The thread that writes the database's file.
import { parentPort, workerData } from 'node:worker_threads';
import { Store, type Batch } from './store.ts';

const store = new Store(workerData as string);
parentPort!.on('message', (batch: Batch | undefined) => {
  if (batch === undefined) {
    store.close();
    parentPort!.close();
    return;
  }
  try {
    store.write(batch);
    parentPort!.postMessage(undefined);
  } catch (error) {
    parentPort!.postMessage((error as Error).message);
  }
});
