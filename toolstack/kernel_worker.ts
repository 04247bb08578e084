// The thread in which prepareKernel unpacks: what is kept is its result.
import { workerData } from 'node:worker_threads';
import { elfImage } from './kernel.ts';

const { file, folder } = workerData as { file: Uint8Array; folder: string };
elfImage(file, folder);
