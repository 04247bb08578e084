// Which domains have stopped: the hypervisor raises VIRQ_DOM_EXC for domain 0 when one does, so that nobody looks at all of them in vain.
import { VIRQ_DOM_EXC } from '../../spec/abi/constants.ts';
import type { ServicePort } from '../../platform/service.ts';
import type { ControlCalls } from './control_calls.ts';

export class Endings {
  readonly #port: ServicePort;
  readonly #virq: number;

  constructor(calls: ControlCalls, port: ServicePort) {
    this.#port = port;
    this.#virq = calls.bindVirq(VIRQ_DOM_EXC);
  }

  /** Has a domain stopped since the last call? */
  take(): boolean {
    return this.#port.takeEvents().includes(this.#virq);
  }
}
