// What xl's verbs share: the connection to the host, and domains by name or number.
import type { ControlClient } from '../../toolstack/control/client.ts';
import { Refused } from '../../toolstack/control/refused.ts';
import { NoHost } from '../../toolstack/control/client.ts';
import type { DomainInfo } from '../../services/xenops/control_calls.ts';
import { connectHost } from '../host/main.ts';
import { defaultState } from '../host/options.ts';
import { Failure } from './verb.ts';

export interface ListedDomain extends DomainInfo {
  /** null: it is dying, and nobody calls it by a name any more. */
  name: string | null;
  /** Seconds since 1970. */
  startTime: number | null;
}

/** xl's options before the verb. */
export interface GlobalOptions {
  verbose: number;
  force: boolean;
  dryRun: boolean;
}

/** Where xl's words go, and what its surroundings say. */
export interface Io {
  out(text: string): void;
  err(text: string): void;
  env: NodeJS.ProcessEnv;
}

export class Xl {
  readonly global: GlobalOptions;
  readonly io: Io;
  #client: ControlClient | undefined;

  constructor(global: GlobalOptions, io: Io) {
    this.global = global;
    this.io = io;
  }

  async host(): Promise<ControlClient> {
    try {
      return (this.#client ??= await connectHost(defaultState(this.io.env)));
    } catch (error) {
      if (error instanceof NoHost || error instanceof Refused) throw new Failure(`xl: ${error.message}`);
      throw error;
    }
  }

  async call<T = unknown>(method: string, params: object = {}): Promise<T> {
    return (await this.host()).call<T>(method, params);
  }

  /** A call whose failure ends the command: with what went wrong, and then what it means. */
  async must<T = unknown>(method: string, params: object, exit = 1, after?: (code: number) => string): Promise<T> {
    try {
      return await this.call<T>(method, params);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      throw new Failure([`xl: ${error.message}`, ...(after ? [after(error.code)] : [])].join('\n'), exit);
    }
  }

  /** A call whose failure is told, and no more: as with Xen's xl the command has done its part. */
  async tell(method: string, params: object): Promise<void> {
    try {
      await this.call(method, params);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.error(`xl: ${error.message}`);
    }
  }

  domains(): Promise<ListedDomain[]> {
    return this.call<ListedDomain[]>('domain.list');
  }

  /** A number is taken as it is; a name must be a domain's. */
  async domid(given: string): Promise<number> {
    if (/^\d{1,5}$/.test(given)) return Number(given);
    const found = (await this.domains()).find(({ name }) => name === given);
    if (!found) throw new Failure(`${given} is an invalid domain identifier (rc=-6)`);
    return found.domid;
  }

  /** The domain, which must exist. */
  async domain(given: string): Promise<ListedDomain> {
    const domid = await this.domid(given);
    const found = (await this.domains()).find((d) => d.domid === domid);
    if (!found) throw new Failure(`Error: Domain '${given}' does not exist.`);
    return found;
  }

  out(text: string): void {
    this.io.out(`${text}\n`);
  }

  error(text: string): void {
    this.io.err(`${text}\n`);
  }

  close(): void {
    this.#client?.close();
  }
}
