// The translator: requests for hot code in machine memory become WebAssembly modules. Equal code, in whatever domain, is compiled once.
import { createHash } from 'node:crypto';
import type { Translator as TranslatorCore } from './core.ts';
import type { Answer } from './regions.ts';
import type { SpanSink } from './span.ts';

/** Bytes of modules that are kept for code that is asked for again. */
const CACHE_BYTES = 4 << 20;
/** Bytes of modules that are compiled between two collections of garbage: about what a boot of Debian asks for. */
const GARBAGE_BYTES = 4 << 20;

export class Translator {
  readonly #core: TranslatorCore;
  readonly #bytes: Uint8Array;
  readonly #cache = new Map<string, { module: WebAssembly.Module; bytes: number }>();
  #cached = 0;
  /** Bytes compiled since `littered` said so last. */
  #compiled = 0;
  readonly #sink: SpanSink | undefined;
  readonly #failed: (error: Error) => void;

  /**
   * `failed` is told when code that should be translatable is not: a mistake of ours, which a guest has found. It costs that code its
   * translation and nobody else anything. Without `failed` it is thrown.
   */
  constructor(
    module: WebAssembly.Module,
    memory: WebAssembly.Memory,
    sink?: SpanSink,
    failed?: (error: Error) => void,
  ) {
    this.#sink = sink;
    this.#failed =
      failed ??
      ((error) => {
        throw error;
      });
    const abort = (_message: number, _file: number, line: number, column: number): never => {
      throw new Error(`translator.wasm stopped itself at ${line}:${column}`);
    };
    const instance = new WebAssembly.Instance(module, { env: { memory, abort } });
    this.#core = instance.exports as unknown as TranslatorCore;
    this.#bytes = new Uint8Array(memory.buffer);
  }

  /** Index in the memory's 32-bit words of the count of requests. */
  get posted(): number {
    return this.#core.translator_posted() >>> 2;
  }

  /** Has so much been compiled that it is worth a collection of garbage? Then that is the caller's to do, once. */
  littered(): boolean {
    if (this.#compiled < GARBAGE_BYTES) return false;
    this.#compiled = 0;
    return true;
  }

  /** Work on all requests that wait; each answer goes to its pCPU. `see` is shown each module's bytes. */
  serve(send: (pcpu: number, answer: Answer) => void, see: (module: Uint8Array) => void = () => {}): void {
    for (let slot = this.#core.translator_next(); slot >= 0; slot = this.#core.translator_next()) {
      const pcpu = this.#core.translator_pcpu(slot);
      const start = this.#sink?.now() ?? 0;
      const made = this.#translate(slot, see);
      if (made) {
        send(pcpu, { slot, ...made });
        this.#core.translator_answer(pcpu);
      }
      this.#tell(start, pcpu, made?.bytes ?? 0);
    }
  }

  #translate(
    slot: number,
    see: (module: Uint8Array) => void,
  ): { module: WebAssembly.Module; bytes: number } | undefined {
    try {
      const bytes = this.#core.translator_run(slot);
      return bytes === 0 ? undefined : { module: this.#module(bytes, see), bytes };
    } catch (error) {
      this.#core.translator_drop(slot);
      this.#failed(error as Error);
      return undefined;
    }
  }

  /** A translation with its compilation; of 0 bytes if there was nothing that could be translated. */
  #tell(start: number, pcpu: number, bytes: number): void {
    const sink = this.#sink;
    sink?.span({ thread: 'translator', name: 'translate', start, duration: sink.now() - start, args: { pcpu, bytes } });
  }

  #module(length: number, see: (module: Uint8Array) => void): WebAssembly.Module {
    const at = this.#core.translator_module() >>> 0;
    const bytes = this.#bytes.slice(at, at + length);
    see(bytes);
    const key = createHash('sha1').update(bytes).digest('base64');
    const known = this.#cache.get(key);
    if (known) {
      // The one used last is the last to go.
      this.#cache.delete(key);
      this.#cache.set(key, known);
      return known.module;
    }
    const module = new WebAssembly.Module(bytes);
    this.#cache.set(key, { module, bytes: length });
    this.#cached += length;
    this.#compiled += length;
    for (const [old, { bytes: size }] of this.#cache) {
      if (this.#cached <= CACHE_BYTES) break;
      this.#cache.delete(old);
      this.#cached -= size;
    }
    return module;
  }
}
