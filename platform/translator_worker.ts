// The translator's thread: asleep until a pCPU asks.
import { parentPort, workerData, type MessagePort } from 'node:worker_threads';
import { clockSince } from './core.ts';
import type { ThreadSpan } from './span.ts';
import { Translator } from './translator.ts';

export interface TranslatorData {
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  /** One for each pCPU. */
  ports: MessagePort[];
  /** Somebody draws what is done here. */
  clockBase?: bigint;
}

function main({ module, memory, ports, clockBase }: TranslatorData): void {
  const span = (told: ThreadSpan) => parentPort?.postMessage({ span: told });
  const sink = clockBase === undefined ? undefined : { now: clockSince(clockBase), span };
  const failed = (error: Error) => parentPort?.postMessage({ untranslated: error.message });
  const translator = new Translator(module, memory, sink, failed);
  const words = new Int32Array(memory.buffer);
  for (;;) {
    const seen = Atomics.load(words, translator.posted);
    translator.serve((pcpu, answer) => ports[pcpu]?.postMessage(answer));
    Atomics.wait(words, translator.posted, seen);
  }
}

if (parentPort) main(workerData as TranslatorData);
