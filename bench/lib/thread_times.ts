// Processor time of each thread of this process for one of the guest's requests, between what guests/disk/io.c says of a measurement's beginning and its end.
// Threads are named by the system's name for them and by how many were there before: what the machine, the gate and the services start is always the same.
import { readdirSync, readFileSync } from 'node:fs';

/** Nanoseconds by thread. */
function times(): Map<string, number> {
  const found = new Map<string, number>();
  for (const tid of readdirSync('/proc/self/task')) {
    try {
      const name = readFileSync(`/proc/self/task/${tid}/comm`, 'latin1').trim();
      const [ns] = readFileSync(`/proc/self/task/${tid}/schedstat`, 'latin1').split(' ');
      found.set(`${name}+${Number(tid) - process.pid}`, Number(ns));
    } catch {
      // It has ended.
    }
  }
  return found;
}

export class ThreadTimes {
  readonly #seconds: number;
  readonly #counters: () => Record<string, number>;
  #before = times();
  #counted: Record<string, number> = {};
  #line = '';

  /** So long is measured; `counters` are told by request too. */
  constructor(seconds: number, counters: () => Record<string, number>) {
    this.#seconds = seconds;
    this.#counters = counters;
  }

  heard(bytes: Uint8Array): void {
    this.#line += Buffer.from(bytes).toString('latin1');
    for (let end; (end = this.#line.indexOf('\n')) >= 0; this.#line = this.#line.slice(end + 1)) {
      const line = this.#line.slice(0, end);
      if (line.startsWith('bench: begin ')) [this.#before, this.#counted] = [times(), this.#counters()];
      const [, kind, mib, rate] = /^bench: ([\w-]+) ([\d.]+) (\d+)/.exec(line) ?? [];
      if (kind) this.#tell(kind, (Number(mib) * 1024) / Number(rate), Number(rate));
    }
  }

  #tell(kind: string, kib: number, rate: number): void {
    const parts = [...times()]
      .map(([name, ns]) => ({ name, us: (ns - (this.#before.get(name) ?? 0)) / 1000 / (rate * this.#seconds) }))
      .filter(({ us }) => us >= 1)
      .sort((a, b) => b.us - a.us)
      .map(({ name, us }) => `${name} ${us.toFixed(0)}`);
    const counts = Object.entries(this.#counters()).map(([name, n]) => {
      const each = (n - (this.#counted[name] ?? 0)) / (rate * this.#seconds);
      return `${name} ${each.toFixed(each < 100 ? 2 : 0)}`;
    });
    console.error(`${kind}, of the guest for each: ${counts.join(', ')}`);
    console.error(`${kind}, µs of a processor for ${kib.toFixed(0)} KiB: ${parts.join(', ')}`);
  }
}
