/** Round-robin archives: what was measured, fine for a short time and coarse for a long one. */
export const STEP = 5;
/** Seconds between rows, and how many there are: ten minutes, two hours, a week, a year. */
export const ARCHIVES = [
  { step: 5, rows: 120 },
  { step: 60, rows: 120 },
  { step: 3600, rows: 168 },
  { step: 86400, rows: 366 },
] as const;

/** What can be measured. */
export interface Source {
  name: string;
  about: string;
  units: string;
  min: number;
  max: number;
  /** How clients of RRDs call a value that is, or that is the change of a counter. */
  kind: 'GAUGE' | 'DERIVE';
}

/** An archive as it is kept on disk; what is not known is null. */
export interface KeptArchive {
  first: number;
  values: (number | null)[];
  row: number;
  sum: number;
  count: number;
}
export interface KeptSeries {
  source: Omit<Source, 'max'> & { max: number | null };
  enabled: boolean;
  archives: KeptArchive[];
}

/** One archive of one source; values are kept as long as there are any, and no memory is taken before. */
class Archive {
  readonly step: number;
  readonly #rows: number;
  /** Number of the first row that is kept, counted in steps since 1970. */
  #first = 0;
  #values: number[] = [];
  /** Of the row that is not over yet. */
  #row = -1;
  #sum = 0;
  #count = 0;

  constructor({ step, rows }: { step: number; rows: number }) {
    this.step = step;
    this.#rows = rows;
  }

  add(time: number, value: number): void {
    // A row is named by its end.
    const row = Math.ceil(time / this.step);
    if (row !== this.#row) {
      if (this.#row >= 0) this.#put(this.#row, this.#count === 0 ? NaN : this.#sum / this.#count);
      this.#row = row;
      this.#sum = this.#count = 0;
    }
    if (Number.isNaN(value)) return;
    this.#sum += value;
    this.#count++;
  }

  #put(row: number, value: number): void {
    if (this.#values.length === 0) this.#first = row;
    const missing = row - this.#first - this.#values.length;
    if (missing > this.#rows) {
      this.#values = [];
      this.#first = row;
    } else for (let i = 0; i < missing; i++) this.#values.push(NaN);
    this.#values.push(value);
    while (this.#values.length > this.#rows) {
      this.#values.shift();
      this.#first++;
    }
  }

  /** The last row that is over; 0 if there is none. */
  get end(): number {
    return this.#values.length === 0 ? 0 : (this.#first + this.#values.length - 1) * this.step;
  }
  get begin(): number {
    return this.#first * this.step;
  }

  at(time: number): number {
    return this.#values[time / this.step - this.#first] ?? NaN;
  }

  kept(): KeptArchive {
    const values = this.#values.map((value) => (Number.isFinite(value) ? value : null));
    return { first: this.#first, values, row: this.#row, sum: this.#sum, count: this.#count };
  }

  restore({ first, values, row, sum, count }: KeptArchive): void {
    this.#first = first;
    this.#values = values.slice(-this.#rows).map((value) => value ?? NaN);
    this.#first += Math.max(0, values.length - this.#rows);
    this.#row = row;
    this.#sum = sum;
    this.#count = count;
  }
}

export class Series {
  readonly source: Source;
  readonly archives: Archive[] = ARCHIVES.map((each) => new Archive(each));
  last = NaN;
  enabled = true;

  constructor(source: Source) {
    this.source = source;
  }

  add(time: number, value: number): void {
    this.last = value;
    if (this.enabled) for (const archive of this.archives) archive.add(time, value);
  }

  kept(): KeptSeries {
    const { source, enabled } = this;
    const max = Number.isFinite(source.max) ? source.max : null;
    return { source: { ...source, max }, enabled, archives: this.archives.map((each) => each.kept()) };
  }

  static from({ source, enabled, archives }: KeptSeries): Series {
    const made = new Series({ ...source, max: source.max ?? Infinity });
    made.enabled = enabled;
    made.archives.forEach((archive, i) => archive.restore(archives[i]));
    return made;
  }

  forget(): void {
    this.enabled = false;
    ARCHIVES.forEach((each, i) => (this.archives[i] = new Archive(each)));
  }
}

/** All that is measured of one object. */
export class Rrd {
  readonly series = new Map<string, Series>();
  updated = 0;

  put(time: number, source: Source, value: number): void {
    const known = this.series.get(source.name) ?? new Series(source);
    this.series.set(source.name, known);
    this.updated = time;
    known.add(time, value);
  }

  kept(): { updated: number; series: KeptSeries[] } {
    return { updated: this.updated, series: [...this.series.values()].map((each) => each.kept()) };
  }

  static from({ updated, series }: ReturnType<Rrd['kept']>): Rrd {
    const made = new Rrd();
    made.updated = updated;
    for (const each of series) made.series.set(each.source.name, Series.from(each));
    return made;
  }
}

/** The archive that has values since then, in steps of at least so many seconds. */
export function archiveFor(start: number, interval: number, now: number): number {
  const found = ARCHIVES.findIndex(({ step, rows }) => step >= interval && now - start <= rows * step);
  return found < 0 ? ARCHIVES.length - 1 : found;
}
