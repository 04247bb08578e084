// Changes the fuzzers' arguments while the hypervisor reads them: the pages are the victim's, which it has given away for this.
import { workerData } from 'node:worker_threads';
import { random } from '../random.ts';

export interface RacerData {
  memory: WebAssembly.Memory;
  /** Addresses of the pages. */
  pages: readonly number[];
  /** Not 0: enough. */
  stop: Int32Array;
}

const EDGES = [
  0, 1, 2, 3, 4, 7, 8, 16, 32, 64, 255, 256, 1023, 1024, 1030, 1500, 4096, 0x7ff0, 0xffff, 0x7fffffff, 0xffffffff,
];
/** Changes in a row, and the pause behind them (ms): this thread shares its processor with what it disturbs. */
const BURST = 4000;
const PAUSE = 1;

const { memory, pages, stop } = workerData as RacerData;
const words = new Uint32Array(memory.buffer);
const rnd = random(77);
while (Atomics.load(stop, 0) === 0) {
  for (let i = 0; i < BURST; i++) {
    const at = (pages[rnd(pages.length)] >>> 2) + rnd(1024);
    if (words[at] !== 0 || rnd(8) === 0) words[at] = EDGES[rnd(EDGES.length)];
  }
  Atomics.wait(stop, 0, 0, PAUSE);
}
