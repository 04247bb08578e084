// A console beyond the primary one on xenbus: its ring is granted by the front end, whose states are followed (public/io/console.h).
import type { PageService, Served } from '../../lib/page_service.ts';
import { ANY_NUMBER, asFrontends, frontNumber, type Driver, type Read } from '../../xenbus/backend.ts';
import { ConsoleBackend, type ConsoleSink } from './console.ts';

export interface ConsoleSettings {
  gref: number;
  port: number;
}

/** Where its output goes, and who is told which back end takes its input: a front end that connects anew has a new one. */
export interface ConsoleEnd extends ConsoleSink {
  connect(backend: ConsoleBackend): void;
}

export class ConsoleDriver implements Driver<ConsoleSettings> {
  readonly #service: PageService;
  readonly #frontend: number;
  readonly #end: ConsoleEnd;
  #served: Served | undefined;

  constructor(service: PageService, frontend: number, end: ConsoleEnd) {
    this.#service = service;
    this.#frontend = frontend;
    this.#end = end;
  }

  features(): Record<string, string | number> {
    return {};
  }

  settings(read: Read): ConsoleSettings {
    return { gref: frontNumber(read, 'ring-ref', ANY_NUMBER), port: frontNumber(read, 'port', ANY_NUMBER) };
  }

  async connect({ gref, port }: ConsoleSettings): Promise<Record<string, string | number>> {
    this.#served = await asFrontends(() =>
      this.#service.attach(this.#frontend, { gref }, port, (page, schedule) => {
        const backend = new ConsoleBackend({ page, schedule, sink: this.#end });
        this.#end.connect(backend);
        return backend;
      }),
    );
    return {};
  }

  async disconnect(): Promise<void> {
    if (this.#served) this.#service.detach(this.#served);
    this.#served = undefined;
  }
}
