// The Chrome trace-event format (the JSON array form), as chrome://tracing and Perfetto load it. Events are written as they come; the
// format allows the closing bracket to be missing, so a file that was broken off is still good.
import { closeSync, openSync, writeSync } from 'node:fs';

/** A stretch of time on a track of its own thread; times in nanoseconds of system time. */
export interface Span {
  readonly name: string;
  readonly start: number;
  readonly duration: number;
  readonly args?: Readonly<Record<string, unknown>>;
}

/** Where an event is drawn: a thread of a process, both by name. */
export interface Track {
  readonly process: string;
  readonly thread: string;
}

const BUFFER = 1 << 16;

export class TraceEvents {
  readonly #file: number;
  #text = '[\n';
  #open = true;
  readonly #processes = new Map<string, number>();
  readonly #threads = new Map<string, { pid: number; tid: number }>();
  #tids = 0;

  constructor(path: string) {
    this.#file = openSync(path, 'w');
  }

  span(track: Track, { name, start, duration, args }: Span): void {
    this.#event(track, { name, ph: 'X', ts: start / 1000, dur: Math.max(0, duration) / 1000, args });
  }

  instant(track: Track, name: string, time: number, args?: Readonly<Record<string, unknown>>): void {
    this.#event(track, { name, ph: 'i', s: 't', ts: time / 1000, args });
  }

  #event(track: Track, event: Record<string, unknown>): void {
    this.#put({ ...event, ...this.#place(track) });
  }

  #put(event: Record<string, unknown>): void {
    if (!this.#open) return;
    this.#text += `${JSON.stringify(event)},\n`;
    if (this.#text.length >= BUFFER) this.flush();
  }

  #place({ process, thread }: Track): { pid: number; tid: number } {
    const key = `${process}\0${thread}`;
    const known = this.#threads.get(key);
    if (known) return known;
    let pid = this.#processes.get(process);
    if (pid === undefined) {
      this.#processes.set(process, (pid = this.#processes.size + 1));
      this.#put({ name: 'process_name', ph: 'M', pid, tid: 0, args: { name: process } });
    }
    const place = { pid, tid: ++this.#tids };
    this.#threads.set(key, place);
    this.#put({ name: 'thread_name', ph: 'M', ...place, args: { name: thread } });
    return place;
  }

  flush(): void {
    if (!this.#open || this.#text === '') return;
    writeSync(this.#file, this.#text);
    this.#text = '';
  }

  /** More than once is no harm. */
  close(): void {
    if (!this.#open) return;
    // An event of no meaning, so that no comma stands before the bracket.
    this.#text += '{"name":"end","ph":"M","pid":0,"tid":0,"args":{}}\n]\n';
    this.flush();
    this.#open = false;
    closeSync(this.#file);
  }
}
