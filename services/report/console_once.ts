// What a guest says by console_io beside what it says on its console: many write each line to both, and whoever sees both wants it once.

/** Lines that are remembered, and characters of one without an end; milliseconds in which the two copies of a line come. */
const LINES = 256;
const LENGTH = 4096;
const GRACE = 250;

interface Line {
  text: string;
  at: number;
}

/** As lines are compared: without what only one of the two needs. */
const plain = (text: string): string => text.replace(/[\r\0]/g, '').trimEnd();

/** Assembles lines; what comes without an end is left open. */
class Lines {
  open = '';

  take(text: string): string[] {
    const lines = (this.open + text).split('\n');
    this.open = lines.pop()!;
    return lines;
  }
}

export class ConsoleOnce {
  readonly #console = new Lines();
  readonly #log = new Lines();
  /** On the console, and not by console_io yet. */
  #said: Line[] = [];
  /** By console_io, and not on the console yet. */
  #waiting: Line[] = [];
  /** When the open line of console_io's has grown last. */
  #grown = 0;
  /** Its beginning has been told already. */
  #begun = false;

  /** The guest has written to its console. */
  said(text: string, now: number): void {
    for (const line of this.#console.take(text)) this.#meet(this.#waiting, this.#said, line, now);
    this.#console.open = this.#console.open.slice(-LENGTH);
  }

  /** The guest has written by console_io. */
  logged(text: string, now: number): void {
    this.#grown = now;
    for (const line of this.#log.take(text)) {
      if (this.#begun) this.#waiting.push({ text: line, at: -Infinity });
      else this.#meet(this.#said, this.#waiting, line, now);
      this.#begun = false;
    }
  }

  /** What has come by console_io alone, as far as that can be told by now; at the `end` all of it. */
  due(now: number, end = false): string {
    const late = (at: number): boolean => end || now - at >= GRACE || this.#waiting.length > LINES;
    let text = '';
    while (this.#waiting.length > 0 && late(this.#waiting[0]!.at)) text += `${this.#waiting.shift()!.text}\n`;
    const { open } = this.#log;
    if (this.#waiting.length === 0 && open !== '' && (late(this.#grown) || open.length > LENGTH)) {
      text += open;
      this.#log.open = '';
      this.#begun = true;
    }
    this.#said = this.#said.filter(({ at }) => now - at < GRACE);
    return text;
  }

  /** `line` is one of those that wait for it, or waits itself. An empty one is no loss. */
  #meet(others: Line[], own: Line[], line: string, now: number): void {
    const found = others.findIndex(({ text }) => plain(text) === plain(line));
    if (found >= 0) others.splice(found, 1);
    else own.push({ text: line, at: now });
    if (own === this.#said && own.length > LINES) own.shift();
  }
}
