// Guests that come, pause and go at random on one host: what they leave behind, the next ones would have to do without.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { HYPERCALLS } from '../../spec/abi/hypercalls.ts';
import { make, view } from '../../spec/abi/layout.ts';
import { eventChannel } from '../../spec/abi/structs/event_channel.ts';
import { buildGuest } from '../../guests/build.ts';
import { guestImage } from '../../guests/image/index.ts';
import { loadCore } from '../../platform/core.ts';
import { Machine } from '../../platform/machine.ts';
import { buildDomain, extractElf, type Plan } from '../../services/domain_builder/protocol/index.ts';
import { Host, type Guest } from '../../services/xenops/host.ts';
import { random } from '../hypervisor.ts';
import { invariants } from '../invariants.ts';

const MIB = 1 << 20;
const SMALL_MIB = 2;
const LINUX_MIB = 128;
/** Of the small guests so few never wait: the Linux guests are to get somewhere beside them. */
const BUSY_ONE_IN = 50;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

export interface Churn {
  /** How many of each are there at most, and at once when a round is in full swing. */
  small: number;
  linux: number;
  rounds: number;
  /** Milliseconds of coming and going a round. */
  span: number;
  seed: number;
}

/** What is held when all guests have gone. */
export interface Held {
  free: number;
  nodes: number;
  connections: number;
  files: number;
  /** ports of the xenstore and console services that the first guest of the round got: the lowest free ones */
  ports: string;
  /** bytes, after a garbage collection; resident ones without machine memory */
  heap: number;
  resident: number;
}

export interface Result {
  held: Held[];
  created: number;
  destroyed: number;
  paused: number;
  /** the largest number of guests at once, of both kinds */
  most: { small: number; linux: number };
  /** Linux guests whose kernel has written to its console */
  booted: number;
}

interface Resident {
  guest: Guest;
  linux: boolean;
  paused: boolean;
  output: string;
}

/** The service's end of a guest's port. */
function remotePort({ dom0 }: Host, domid: number, port: number): number {
  const { view: asked, bytes } = make(eventChannel.evtchn_status);
  asked.dom = domid;
  asked.port = port;
  const { mailbox } = dom0;
  mailbox.write(mailbox.ram.gpa, bytes);
  const row = HYPERCALLS.find(({ name }) => name === 'event_channel_op')!;
  const op = row.subOps!.ops.find(({ name }) => name === 'EVTCHNOP_status')!;
  assert.equal(mailbox.hypercall(row.nr, op.nr, mailbox.ram.gpa), 0n);
  const answer = mailbox.read(mailbox.ram.gpa, bytes.length).slice();
  return view(eventChannel.evtchn_status, new DataView(answer.buffer)).u.interdomain.port;
}

/** Resident bytes of this process without its largest mapping, which is machine memory. */
function resident(): number {
  const kib = (text: string): number => Number(/^Rss:\s+(\d+) kB/m.exec(text)?.[1] ?? 0);
  const maps = readFileSync('/proc/self/smaps', 'utf8')
    .split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
    .map(kib);
  return (maps.reduce((sum, n) => sum + n, 0) - Math.max(...maps)) * 1024;
}

class Bed {
  readonly host: Host;
  readonly guests: Resident[] = [];
  readonly result: Result = { held: [], created: 0, destroyed: 0, paused: 0, most: { small: 0, linux: 0 }, booted: 0 };
  readonly #churn: Churn;
  readonly #small: Uint8Array = readFileSync(buildGuest('tick'));
  readonly #linux: { kernel: Uint8Array; initrd: Uint8Array } | undefined;
  readonly #pick: (below: number) => number;
  failure: Error | undefined;

  constructor(churn: Churn) {
    this.#churn = churn;
    this.#pick = random(churn.seed);
    const memory = churn.small * (SMALL_MIB + 0.25) + churn.linux * (LINUX_MIB + 2) + 16;
    const machine = new Machine({ memory: memory * MIB }, loadCore());
    machine.onFailure((error) => (this.failure = error));
    this.host = new Host(machine);
    if (churn.linux === 0) return;
    const image = guestImage();
    this.#linux = { kernel: extractElf(readFileSync(image.kernel)), initrd: readFileSync(image.initrd) };
  }

  #plan(linux: boolean): Plan {
    if (linux) return buildDomain({ ...this.#linux!, cmdline: 'console=hvc0', memory: LINUX_MIB * MIB });
    const waiting = ['period=10000', 'period=100000 work=10000', 'period=0', 'period=50000'];
    const busy = ['spin', 'calls', 'faults'];
    const cmdline = this.#pick(BUSY_ONE_IN) === 0 ? busy[this.#pick(3)]! : waiting[this.#pick(4)]!;
    return buildDomain({ kernel: this.#small, cmdline, memory: SMALL_MIB * MIB });
  }

  create(linux: boolean): void {
    const resident: Resident = { guest: undefined as never, linux, paused: false, output: '' };
    const console = {
      write: (bytes: Uint8Array): void => {
        resident.output = (resident.output + Buffer.from(bytes).toString('latin1')).slice(-4096);
      },
    };
    const memoryKib = (linux ? LINUX_MIB : SMALL_MIB) * 1024;
    const name = `${linux ? 'linux' : 'small'}${this.result.created++}`;
    resident.guest = this.host.create({ name, plan: this.#plan(linux), memoryKib, vcpus: 1, console });
    this.guests.push(resident);
    const { most } = this.result;
    most.small = Math.max(most.small, this.guests.filter((r) => !r.linux).length);
    most.linux = Math.max(most.linux, this.guests.filter((r) => r.linux).length);
  }

  destroy(index: number): void {
    const [resident] = this.guests.splice(index, 1);
    if (resident!.linux && resident!.output) this.result.booted++;
    resident!.guest.destroy();
    this.result.destroyed++;
    assert.equal(invariants(this.host.machine.core), null, `after the end of ${resident!.guest.description.name}`);
  }

  /** One thing happens to somebody. */
  step(): void {
    const { small, linux } = this.#churn;
    const running = this.guests.filter((r) => r.linux).length;
    const room = { small: this.guests.length - running < small, linux: running < linux };
    const what = this.#pick(8);
    if (what < 4 && (room.small || room.linux)) this.create(room.linux && (!room.small || this.#pick(20) === 0));
    else if (this.guests.length === 0) return;
    else if (what < 6) this.#togglePause(this.guests[this.#pick(this.guests.length)]!);
    else if (what === 6) this.guests[this.#pick(this.guests.length)]!.guest.console.onInput(Buffer.from('hello\n'));
    else if (this.guests.length > (small + linux) / 2) {
      const index = this.#pick(this.guests.length);
      // A Linux guest is left alone until it has got somewhere, most of the time.
      if (!this.guests[index]!.linux || this.#pick(10) === 0) this.destroy(index);
    }
  }

  #togglePause(resident: Resident): void {
    const { dom0 } = this.host;
    if (resident.paused) dom0.unpause(resident.guest.domid);
    else dom0.pause(resident.guest.domid);
    resident.paused = !resident.paused;
    this.result.paused++;
  }

  /** Lets the host work for so many milliseconds. */
  async pass(ms: number): Promise<void> {
    let over = false;
    setTimeout(() => {
      over = true;
      this.host.machine.ring();
    }, ms);
    await this.host.run(() => over || this.failure !== undefined);
    assert.ifError(this.failure);
  }

  /** The services' ports of the guest that came first. */
  ports(): string {
    const { domid, description } = this.guests[0]!.guest;
    return [description.store.port, description.console.port]
      .map((port) => remotePort(this.host, domid, port))
      .join(' ');
  }

  held(ports: string): Held {
    collect();
    return {
      free: this.host.machine.core.frames_free(),
      nodes: this.host.store.tree.size,
      connections: this.host.store.connections.size,
      files: readdirSync('/proc/self/fd').length,
      ports,
      heap: process.memoryUsage().heapUsed,
      resident: resident(),
    };
  }
}

export async function churn(options: Churn): Promise<Result> {
  const bed = new Bed(options);
  try {
    for (let round = 0; round < options.rounds; round++) {
      const end = performance.now() + options.span;
      for (let i = 0; i < options.linux; i++) bed.create(true);
      for (let i = 0; i < options.small; i++) bed.create(false);
      const ports = bed.ports();
      await bed.pass(100);
      while (performance.now() < end) {
        for (let n = 0; n < 10; n++) bed.step();
        await bed.pass(20);
      }
      while (bed.guests.length > 0) bed.destroy(bed.guests.length - 1);
      await bed.pass(100);
      bed.result.held.push(bed.held(ports));
    }
    return bed.result;
  } finally {
    await bed.host.stop();
  }
}

/** Nothing is held after the last round that was not after the first; memory grows by less than so many bytes. */
export function assertNothingLeft(result: Result, growth: { heap: number; resident?: number }): void {
  const [first, last] = [result.held[0]!, result.held.at(-1)!];
  // Numbers of domains are not used again until they wrap, and a page of their directory holds 1024 of them.
  const directory = Math.ceil(result.created / 1024);
  assert.ok(first.free - last.free <= directory, `${first.free - last.free} frames fewer are free`);
  for (const what of ['nodes', 'connections', 'files', 'ports'] as const) assert.equal(last[what], first[what], what);
  for (const what of ['heap', 'resident'] as const)
    assert.ok(
      last[what] - first[what] < (growth[what] ?? Infinity),
      `${what}: ${((last[what] - first[what]) / MIB).toFixed(1)} MiB more, by rounds: ${result.held.map((h) => (h[what] / MIB).toFixed(0)).join(' ')}`,
    );
}
