// For tests: any sequence of requests on an image, against a flat model of it; then the image as kills and power cuts would have left it.
import assert from 'node:assert/strict';
import { has_snapshots, SECTOR, type DiskImage } from '../../services/block/image/image.ts';
import { MemoryFile, Model, scatter, stamp, stampOf, type Random } from './memory_file.ts';

export interface Subject {
  file: MemoryFile;
  open(file: MemoryFile): Promise<DiskImage>;
  /** stamps of what the disk holds at first */
  base?: (sector: number) => number;
  sectors: number;
  mostSectors: number;
  snapshots: boolean;
  resize: 'both' | 'grow' | 'none';
}

/** All sectors of a disk as stamps. */
export async function contents(image: DiskImage): Promise<number[]> {
  const bytes = Buffer.alloc(image.size);
  const step = 64 << 10;
  for (let at = 0; at < image.size; at += step)
    await image.read(at, [bytes.subarray(at, Math.min(at + step, image.size))]);
  return Array.from({ length: image.size / SECTOR }, (_, i) => stampOf(bytes.subarray(i * SECTOR, (i + 1) * SECTOR)));
}

export class Player {
  readonly #subject: Subject;
  readonly #random: Random;
  readonly model: Model;
  readonly snapshots = new Map<string, number[]>();
  readonly start: Buffer;
  #image!: DiskImage;
  #next = 1;
  #sectors: number;

  constructor(subject: Subject, random: Random) {
    this.#subject = subject;
    this.#random = random;
    this.#sectors = subject.sectors;
    this.model = new Model(subject.sectors, subject.base);
    this.start = Buffer.from(subject.file.contents);
  }

  get #position(): number {
    return this.#subject.file.log.length;
  }

  async play(steps: number): Promise<void> {
    this.#image = await this.#subject.open(this.#subject.file);
    for (let i = 0; i < steps; i++) await this.#step();
    await this.#compare();
    await this.#image.close();
  }

  async #step(): Promise<void> {
    const dice = this.#random(100);
    if (dice < 70) await this.#batch();
    else if (dice < 80) await this.#flush();
    else if (dice < 85) await this.#compare();
    else if (dice < 90) await this.#reopen();
    else if (dice < 95) await this.#resize();
    else await this.#snapshot();
  }

  /** Requests at the same time; none touches a sector of another one, but clusters they share. */
  async #batch(): Promise<void> {
    const taken = new Set<number>();
    const requests: Promise<void>[] = [];
    for (let n = 1 + this.#random(8); n > 0; n--) {
      const first = this.#random(this.#sectors);
      const longest = this.#random(4) === 0 ? 200 : 12;
      const count = Math.min(1 + this.#random(longest), this.#sectors - first);
      const range = Array.from({ length: count }, (_, i) => first + i);
      if (range.some((sector) => taken.has(sector))) continue;
      for (const sector of range) taken.add(sector);
      requests.push(this.#request(first, count));
    }
    await Promise.all(requests);
  }

  async #request(first: number, count: number): Promise<void> {
    const entry = { began: this.#position, answered: Infinity, value: 0, maybe: false, fua: false };
    const [offset, length] = [first * SECTOR, count * SECTOR];
    this.model.put(first, count, entry);
    switch (this.#random(8)) {
      case 0:
        entry.maybe = true;
        await this.#image.discard(offset, length);
        break;
      case 1:
        await this.#image.write_zeroes(offset, length, { unmap: this.#random(2) === 0 });
        break;
      default: {
        entry.value = this.#next++;
        const bytes = Buffer.concat(Array.from({ length: count }, () => stamp(entry.value)));
        const fua = this.#random(10) === 0;
        await this.#image.write(offset, this.#random(2) === 0 ? [bytes] : scatter(bytes, this.#random), { fua });
        entry.fua = fua;
      }
    }
    entry.answered = this.#position;
  }

  async #flush(): Promise<void> {
    const began = this.#position;
    await this.#image.flush();
    this.model.flushed(began, this.#position);
  }

  async #compare(): Promise<void> {
    const found = await contents(this.#image);
    assert.equal(found.length, this.#sectors);
    const at = found.findIndex((value, sector) => !this.model.settle(sector, value));
    if (at >= 0) assert.fail(`sector ${at} has ${found[at]}, not ${[...this.model.allowed(at, Infinity, 'kill')]}`);
  }

  async #reopen(): Promise<void> {
    const began = this.#position;
    await this.#image.close();
    this.model.flushed(began, this.#position);
    this.#image = await this.#subject.open(this.#subject.file);
  }

  async #resize(): Promise<void> {
    const { resize, mostSectors } = this.#subject;
    if (resize === 'none') return;
    const sectors = 1 + this.#random(mostSectors);
    if (sectors < this.#sectors && (resize === 'grow' || this.snapshots.size > 0)) return;
    await this.#compare();
    const entry = { began: this.#position, answered: Infinity, value: 0, maybe: false, fua: true };
    const size = { began: this.#position, answered: Infinity, sectors };
    const low = Math.min(sectors, this.#sectors);
    this.model.put(low, Math.max(sectors, this.#sectors) - low, entry);
    this.model.sizes.push(size);
    await this.#image.resize(sectors * SECTOR);
    size.answered = entry.answered = this.#position;
    this.#sectors = sectors;
  }

  async #snapshot(): Promise<void> {
    const image = this.#image;
    if (!this.#subject.snapshots || !has_snapshots(image)) return;
    const names = [...this.snapshots.keys()];
    const name = names[this.#random(names.length || 1)];
    if (name === undefined || (names.length < 4 && this.#random(3) === 0)) {
      await this.#compare();
      const began = this.#position;
      const made = `s${this.#next++}`;
      await image.create_snapshot(made);
      this.model.flushed(began, this.#position);
      this.snapshots.set(made, await contents(image));
    } else if (this.#random(2) === 0) {
      await image.delete_snapshot(name);
      this.snapshots.delete(name);
    } else {
      await this.#revert(image, name);
    }
  }

  async #revert(image: DiskImage, name: string): Promise<void> {
    if (!has_snapshots(image)) return;
    const held = this.snapshots.get(name)!;
    const began = this.#position;
    const entries = held.map((value, sector) => {
      const entry = { began, answered: Infinity, value, maybe: false, fua: true };
      this.model.put(sector, 1, entry);
      return entry;
    });
    // What is cut off is not there any more when the disk grows.
    const cut = { began, answered: Infinity, value: 0, maybe: false, fua: true };
    if (held.length < this.#sectors) this.model.put(held.length, this.#sectors - held.length, cut);
    const size = { began, answered: Infinity, sectors: held.length };
    this.model.sizes.push(size);
    await image.revert_snapshot(name);
    for (const each of [...entries, cut, size]) each.answered = this.#position;
    this.#sectors = held.length;
  }

  /** Opens what a kill or a cut after `count` changes leaves, and looks at each sector. Answers the file, put in order. */
  async crash(count: number, how: 'kill' | 'cut', before?: (file: MemoryFile) => void): Promise<MemoryFile> {
    const file = MemoryFile[how === 'kill' ? 'killed' : 'cut'](this.start, this.#subject.file.log, count, this.#random);
    before?.(file);
    const image = await this.#subject.open(file);
    const found = await contents(image);
    const sizes = this.model.sizes.filter(({ began }) => began <= count);
    const settled = sizes.findLastIndex(({ answered }) => answered <= count);
    const possible = sizes.slice(settled).map(({ sectors }) => sectors);
    assert.ok(possible.includes(found.length), `${found.length} sectors, not ${possible.join(' or ')}`);
    found.forEach((value, sector) => {
      const allowed = this.model.allowed(sector, count, how);
      // A write that the end came upon may be there in part.
      if (!allowed.has(value)) assert.fail(`${how} after ${count}: sector ${sector} has ${value}, not ${[...allowed]}`);
    });
    await image.close();
    return file;
  }
}
