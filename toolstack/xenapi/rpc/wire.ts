/** What is known of the listeners by who is not one of them: what was asked for, and how to give them another certificate. */
import type { Socket } from 'node:net';

export interface SecureListener {
  setSecureContext(options: { key: string; cert: string; ca?: string[] }): void;
}

interface Counts {
  requests: number;
  connections: number;
}

export class Wire {
  /** Listeners that speak TLS. */
  readonly secure = new Set<SecureListener>();
  readonly #counts = new Map<string, Counts>();
  readonly #seen = new WeakMap<Socket, Set<string>>();

  /** A request for one of the host's services, named as in `METHOD /path`. */
  count(service: string, socket: Socket): void {
    const counts = this.#counts.get(service) ?? { requests: 0, connections: 0 };
    this.#counts.set(service, counts);
    counts.requests++;
    const seen = this.#seen.get(socket) ?? new Set();
    this.#seen.set(socket, seen);
    if (!seen.has(service)) counts.connections++;
    seen.add(service);
  }

  get counts(): ReadonlyMap<string, Counts> {
    return this.#counts;
  }
}
