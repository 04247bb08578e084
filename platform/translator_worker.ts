// The translator's thread: asleep until a pCPU asks.
import { parentPort, workerData, type MessagePort } from 'node:worker_threads';
import { Translator } from './translator.ts';

export interface TranslatorData {
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  /** One for each pCPU. */
  ports: MessagePort[];
}

function main({ module, memory, ports }: TranslatorData): void {
  const translator = new Translator(module, memory);
  const words = new Int32Array(memory.buffer);
  for (;;) {
    const seen = Atomics.load(words, translator.posted);
    translator.serve((pcpu, answer) => ports[pcpu]?.postMessage(answer));
    Atomics.wait(words, translator.posted, seen);
  }
}

if (parentPort) main(workerData as TranslatorData);
