// The unikernel under a debugger, through the same classes as `xenolith run --gdb`.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { buildGuest } from '../../guests/build.ts';
import { loadCore } from '../../platform/core.ts';
import { Machine } from '../../platform/machine.ts';
import { buildDomain } from '../../services/domain_builder/protocol/index.ts';
import { packet, PacketReader } from '../../services/gdb/protocol/packet.ts';
import { DebugServer } from '../../services/gdb/backend/server.ts';
import { Host, type Outcome } from '../../services/xenops/host.ts';

const MIB = 1 << 20;

export interface Debugged {
  machine: Machine;
  port: number;
  output(): string;
  outcome(): Outcome | null;
  killed(): boolean;
  /** Resolves when the guest has ended or was killed, and the debugger has gone. */
  ended: Promise<void>;
}

/** Starts the guest, held for a debugger. */
export async function debugged(
  cmdline: string,
  options: { deterministic?: boolean; wait?: boolean } = {},
): Promise<Debugged> {
  const machine = new Machine({ memory: 72 * MIB, deterministic: options.deterministic ?? false }, loadCore());
  const host = new Host(machine);
  const stop = new AbortController();
  const server = new DebugServer({ port: 0, wait: options.wait ?? true, onKill: () => stop.abort() });
  host.onTurn = () => server.poll();
  const port = await server.listen();
  const plan = buildDomain({ kernel: readFileSync(buildGuest('unikernel')), cmdline, memory: 64 * MIB });
  let output = '';
  const guest = host.create({
    name: 'debugged',
    plan,
    memoryKib: 64 * 1024,
    vcpus: 1,
    console: { write: (bytes) => void (output += Buffer.from(bytes).toString('latin1')) },
    onBuilt: (domid) => server.guest(machine, domid),
  });
  const run = async (): Promise<void> => {
    try {
      await host.run(() => guest.outcome !== null, AbortSignal.any([stop.signal, AbortSignal.timeout(60_000)]));
      while (host.pump());
      if (guest.outcome !== null) await server.ended(guest.outcome === 'crash' ? 'crash' : { code: 0 });
    } finally {
      server.close();
      await host.stop();
    }
  };
  return {
    machine,
    port,
    output: () => output,
    outcome: () => guest.outcome,
    killed: () => stop.signal.aborted,
    ended: run(),
  };
}

/** A debugger's end of the connection, for tests that say themselves what is sent. */
export class Client {
  readonly #socket: Socket;
  readonly #reader = new PacketReader();
  readonly #replies: string[] = [];
  #waiting: ((reply: string) => void) | null = null;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('error', () => {});
    socket.on('data', (bytes: Buffer) => {
      for (const r of this.#reader.read(bytes)) if (r.kind === 'packet') this.#take(r.data.toString('latin1'));
    });
  }

  static async connect(port: number): Promise<Client> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    return new Client(socket);
  }

  #take(reply: string): void {
    if (this.#waiting) this.#waiting(reply);
    else this.#replies.push(reply);
    this.#waiting = null;
  }

  raw(bytes: Uint8Array | string): void {
    this.#socket.write(bytes);
  }

  reply(): Promise<string> {
    const ready = this.#replies.shift();
    return ready === undefined ? new Promise((resolve) => (this.#waiting = resolve)) : Promise.resolve(ready);
  }

  ask(text: string): Promise<string> {
    this.raw(packet(text));
    return this.reply();
  }

  close(): void {
    this.#socket.destroy();
  }
}
