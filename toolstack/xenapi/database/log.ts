import type { Row } from './row.ts';
import type { Schema } from './schema.ts';

export interface Removal {
  schema: Schema;
  ref: string;
  created: number;
  generation: number;
}

/** A row's last change. */
export interface Entry {
  row: Row;
  generation: number;
}

/** So many removals are remembered; who is further behind finds out by the number of valid references. */
const MAX_REMOVALS = 100_000;
const SLACK = 1024;

/** The first entry after a generation: both lists are in order. */
function after(list: readonly { generation: number }[], generation: number): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle].generation > generation) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** In which order rows were changed and removed. An entry counts only if it tells of its row's last change. */
export class ChangeLog {
  #entries: Entry[] = [];
  #removals: Removal[] = [];
  #rows = 0;

  load(rows: Iterable<Row>): void {
    this.#entries = [...rows].map((row) => ({ row, generation: row.modified }));
    this.#entries.sort((a, b) => a.generation - b.generation);
    this.#rows = this.#entries.length;
  }

  changed(row: Row, generation: number): void {
    this.#entries.push({ row, generation });
    if (row.created === generation) this.#rows++;
    if (this.#entries.length > 2 * this.#rows + SLACK)
      this.#entries = this.#entries.filter(({ row, generation }) => !row.gone && row.modified === generation);
  }

  removed({ schema, ref, created }: Row, generation: number): void {
    this.#rows--;
    this.#removals.push({ schema, ref, created, generation });
    if (this.#removals.length > MAX_REMOVALS + SLACK) this.#removals = this.#removals.slice(-MAX_REMOVALS);
  }

  /** Each row that has changed since then, with its last change. */
  entriesAfter(since: number): Entry[] {
    const found: Entry[] = [];
    for (let i = after(this.#entries, since); i < this.#entries.length; i++) {
      const entry = this.#entries[i];
      if (!entry.row.gone && entry.row.modified === entry.generation) found.push(entry);
    }
    return found;
  }

  changesAfter(since: number): Row[] {
    return this.entriesAfter(since).map(({ row }) => row);
  }

  removalsAfter(since: number): Removal[] {
    return this.#removals.slice(after(this.#removals, since));
  }
}
