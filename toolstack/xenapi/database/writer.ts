// The thread that writes the database's file.
import { parentPort, workerData } from 'node:worker_threads';
import { Store, type Batch, type Part } from './store.ts';

const store = new Store(workerData as string);
let before: Batch['put'] = [];
parentPort!.on('message', (message: Batch | Part | undefined) => {
  if (message === undefined) {
    store.close();
    parentPort!.close();
    return;
  }
  if (!('generation' in message)) {
    for (const each of message.put) before.push(each);
    return;
  }
  const batch = before.length === 0 ? message : { ...message, put: [...before, ...message.put] };
  before = [];
  try {
    store.write(batch);
    parentPort!.postMessage(undefined);
  } catch (error) {
    parentPort!.postMessage((error as Error).message);
  }
});
