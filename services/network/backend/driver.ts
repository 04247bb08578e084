// A virtual interface on xenbus: what is offered, what a front end may choose, and how its rings are connected (public/io/netif.h).
import { ANY_NUMBER, asFrontends, FrontendError, frontNumber, type Driver, type Read } from '../../xenbus/backend.ts';
import type { FrontControl, FrontQueue, NetworkService, NetworkVif } from './service.ts';
import type { Connection } from './vif.ts';

const MAX_QUEUES = 4;
/** The one choice that may change while it is connected. */
const MULTICAST = 'request-multicast-control';

export interface VifSettings {
  queues: FrontQueue[];
  control: FrontControl | undefined;
  facts: Omit<Connection, 'domid' | 'queues' | 'control'>;
}

export class VifDriver implements Driver<VifSettings> {
  readonly #service: NetworkService;
  readonly #vif: NetworkVif;
  readonly #frontend: number;

  constructor(service: NetworkService, vif: NetworkVif, frontend: number) {
    this.#service = service;
    this.#vif = vif;
    this.#frontend = frontend;
  }

  readonly watched = [MULTICAST];

  changed(read: Read): Promise<void> {
    return this.#service.setMulticast(this.#vif, flag(read, MULTICAST));
  }

  features(): Record<string, string | number> {
    return {
      'feature-sg': 1,
      'feature-gso-tcpv4': 1,
      'feature-gso-tcpv6': 1,
      'feature-ipv6-csum-offload': 1,
      'feature-rx-copy': 1,
      'feature-rx-flip': 0,
      'feature-multicast-control': 1,
      'feature-dynamic-multicast-control': 1,
      'feature-split-event-channels': 1,
      'multi-queue-max-queues': MAX_QUEUES,
      'feature-ctrl-ring': 1,
    };
  }

  settings(read: Read): VifSettings {
    if (!flag(read, 'request-rx-copy')) throw new FrontendError('request-rx-copy is not set: pages are not exchanged');
    const count = frontNumber(read, 'multi-queue-num-queues', MAX_QUEUES, 1);
    if (count === 0) throw new FrontendError('multi-queue-num-queues is 0');
    const queues = Array.from({ length: count }, (_, i) => queue(read, count > 1 ? `queue-${i}/` : ''));
    const scatter = flag(read, 'feature-sg');
    const offload = {
      checksumV4: !flag(read, 'feature-no-csum-offload'),
      checksumV6: flag(read, 'feature-ipv6-csum-offload'),
      gsoV4: scatter && flag(read, 'feature-gso-tcpv4'),
      gsoV6: scatter && flag(read, 'feature-gso-tcpv6'),
    };
    return {
      queues,
      control: control(read),
      facts: { scatter, offload, multicast: flag(read, MULTICAST) },
    };
  }

  async connect({ queues, control, facts }: VifSettings): Promise<Record<string, string | number>> {
    await asFrontends(() => this.#service.attach(this.#vif, this.#frontend, queues, control, facts));
    return {};
  }

  disconnect(): Promise<void> {
    return this.#service.detach(this.#vif);
  }
}

function queue(read: Read, at: string): FrontQueue {
  const value = (name: string) => frontNumber(read, at + name, ANY_NUMBER);
  const [tx, rx] = [value('tx-ring-ref'), value('rx-ring-ref')];
  if (read(`${at}event-channel-tx`) === undefined) {
    const port = value('event-channel');
    return { tx, rx, txPort: port, rxPort: port };
  }
  return { tx, rx, txPort: value('event-channel-tx'), rxPort: value('event-channel-rx') };
}

/** The header has no front end of one without the other. */
function control(read: Read): FrontControl | undefined {
  if (read('ctrl-ring-ref') === undefined) return undefined;
  return { ring: frontNumber(read, 'ctrl-ring-ref', ANY_NUMBER), port: frontNumber(read, 'event-channel-ctrl', ANY_NUMBER) }; // prettier-ignore
}

const flag = (read: Read, name: string): boolean => frontNumber(read, name, ANY_NUMBER, 0) !== 0;
