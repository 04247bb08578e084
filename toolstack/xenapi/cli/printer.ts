/** How `xe` shows things: records with their names aligned, lists, or (`--minimal`) the first value of each with commas between. */

/** Name and value. */
export type Record = readonly (readonly [string, string])[];
type Send = (text: string) => Promise<void>;

const LEAST = 4;

/** The first name begins the line, the others end at the same column. */
export function recordText(record: Record): string {
  const width = LEAST + Math.max(0, ...record.map(([name]) => name.length));
  const lines = record.map(([name, value], index) => {
    return `${index === 0 ? name.padEnd(width) : name.padStart(width)}: ${value}\n`;
  });
  // The empty record is an empty line.
  return lines.length === 0 ? '\n' : lines.join('');
}

const escaped = (text: string): string => text.replace(/[\\,]/g, '\\$&');

export class Printer {
  readonly #out: Send;
  readonly #err: Send;
  readonly minimal: boolean;
  #values: string[] = [];

  constructor(out: Send, err: Send, minimal: boolean) {
    this.#out = out;
    this.#err = err;
    this.minimal = minimal;
  }

  async table(records: Iterable<Record> | AsyncIterable<Record>): Promise<void> {
    if (!this.minimal) {
      for await (const record of records) await this.#out(`${recordText(record)}\n`);
      return;
    }
    const first: string[] = [];
    for await (const record of records) if (record.length > 0) first.push(escaped(record[0][1]));
    if (first.length > 0) this.#values.unshift(first.join(','));
  }

  async list(texts: readonly string[]): Promise<void> {
    if (this.minimal) this.#values.unshift(texts.map(escaped).join(','));
    else for (const text of texts) await this.#out(text);
  }

  async message(text: string): Promise<void> {
    if (!this.minimal) await this.#out(text);
  }

  async error(text: string): Promise<void> {
    if (!this.minimal) await this.#err(`${text}\n`);
  }

  /** At the command's end. */
  async flush(): Promise<void> {
    if (this.minimal) await this.#out(this.#values.join(','));
  }
}
