// The translator's thread: asleep until a pCPU asks.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
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

/**
 * A collection of this thread's garbage. Its heap hardly grows by a module, whose machine code lies elsewhere, ten times as large as its bytes; left
 * to itself V8 keeps those of guests that are long gone: 30 to 80 MiB after ten boots.
 */
function collector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}

function main({ module, memory, ports, clockBase }: TranslatorData): void {
  const span = (told: ThreadSpan) => parentPort?.postMessage({ span: told });
  const sink = clockBase === undefined ? undefined : { now: clockSince(clockBase), span };
  const failed = (error: Error) => parentPort?.postMessage({ untranslated: error.message });
  const translator = new Translator(module, memory, sink, failed);
  const collect = collector();
  const words = new Int32Array(memory.buffer);
  for (;;) {
    const seen = Atomics.load(words, translator.posted);
    translator.serve((pcpu, answer) => ports[pcpu]?.postMessage(answer));
    if (translator.littered()) collect();
    Atomics.wait(words, translator.posted, seen);
  }
}

if (parentPort) main(workerData as TranslatorData);
