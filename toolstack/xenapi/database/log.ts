import type { Row } from './row.ts';
import type { Schema } from './schema.ts';

export interface Removal {
  schema: Schema;
  ref: string;
  created: number;
  generation: number;
}

interface Entry {
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

  *changesAfter(generation: number): Generator<Row> {
    const entries = this.#entries;
    for (let i = after(entries, generation); i < entries.length; i++) {
      const { row, generation } = entries[i];
      if (!row.gone && row.modified === generation) yield row;
    }
  }

  *removalsAfter(generation: number): Generator<Removal> {
    for (let i = after(this.#removals, generation); i < this.#removals.length; i++) yield this.#removals[i];
  }
}
