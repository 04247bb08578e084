// The profiler's clock: a thread that does nothing but ask the pCPUs for samples, at irregular times around the wanted rate, so that it
// does not keep step with a guest's timer.
import { parentPort, workerData } from 'node:worker_threads';
import { clockSince, instantiate } from './core.ts';

export interface SamplerData {
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  clockBase: bigint;
  hz: number;
}

function main({ module, memory, clockBase, hz }: SamplerData): void {
  const clock = clockSince(clockBase);
  const core = instantiate(module, memory, clock);
  const never = new Int32Array(new SharedArrayBuffer(4));
  const period = 1e9 / hz;
  for (let due = clock(); ; ) {
    due += period * (0.75 + 0.5 * Math.random());
    const now = clock();
    // What was slept through is not made up for: samples in a row would say the same.
    if (due <= now) due = now;
    else Atomics.wait(never, 0, 0, (due - now) / 1e6);
    core.profile_tick();
  }
}

if (parentPort) main(workerData as SamplerData);
