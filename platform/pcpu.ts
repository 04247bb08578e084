// A pCPU: a worker thread that runs vCPUs, asleep on its doorbell when there is nothing to run.
import { parentPort, receiveMessageOnPort, workerData, type MessagePort } from 'node:worker_threads';
import { clockSince, instantiate } from './core.ts';
import { Regions, type Answer } from './regions.ts';

export interface PcpuData {
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  id: number;
  clockBase: bigint;
  bells: SharedArrayBuffer;
  /** Where the translator's answers come; without it nothing is translated. */
  answers?: MessagePort;
}

/** Stretches of guest code (core/hypervisor/schedule.ts) between two looks at the doorbell. */
const STRETCHES = 64;
const IDLE = 0;

function main({ module, memory, id, clockBase, bells, answers }: PcpuData): void {
  const clock = clockSince(clockBase);
  const core = instantiate(module, memory, clock, { bells: new Int32Array(bells) });
  core.pcpu_init(id);
  const regions = new Regions(core, memory);
  if (answers) core.translator_enable(1);
  const words = new Int32Array(memory.buffer);
  const doorbell = core.pcpu_doorbell(id) >>> 2;
  for (;;) {
    const bell = Atomics.load(words, doorbell);
    const state = core.pcpu_run(id, STRETCHES);
    if (answers && core.translator_answered(id)) {
      core.translator_take(id);
      for (let m = receiveMessageOnPort(answers); m; m = receiveMessageOnPort(answers))
        regions.install(m.message as Answer);
    }
    if (state !== IDLE) continue;
    const at = core.pcpu_deadline(id);
    Atomics.wait(words, doorbell, bell, at < 0 ? Infinity : Math.max(0, (at - clock()) / 1e6));
  }
}

if (parentPort) main(workerData as PcpuData);
