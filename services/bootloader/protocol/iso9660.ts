/** ISO 9660 (ECMA-119), with Rock Ridge's names and links (IEEE P1282) or Joliet's names where there are such. */
import { BootError, fail, latin1, viewOf, type Disk } from './disk.ts';
import type { FileSystem, Kind } from './tree.ts';

const SECTOR = 2048;
const FIRST_DESCRIPTOR = 16;
const MAX_DESCRIPTORS = 32;
const PRIMARY = 1;
const SUPPLEMENTARY = 2;
const END = 255;
const JOLIET = ['%/@', '%/C', '%/E'];
const FLAG_FOLDER = 2;
const FLAG_MORE = 0x80;
const MAX_FOLDER = 16 << 20;
const MAX_CONTINUED = 32;

interface Extent {
  at: number;
  size: number;
}
interface IsoNode {
  readonly kind: Kind;
  readonly extents: Extent[];
  readonly target: string;
}

export function isIso(disk: Disk): boolean {
  const at = FIRST_DESCRIPTOR * SECTOR;
  return disk.size >= at + SECTOR && latin1(disk.read(at + 1, 5)) === 'CD001';
}

export class IsoFileSystem implements FileSystem<IsoNode> {
  readonly root: IsoNode;
  readonly #disk: Disk;
  readonly #block: number;
  #joliet = false;
  /** Bytes before Rock Ridge's fields in each record; undefined: there are none. */
  #skip: number | undefined;
  readonly #folders = new Map<number, ReadonlyMap<string, IsoNode>>();

  constructor(disk: Disk) {
    this.#disk = disk;
    const descriptors = this.#descriptors();
    const primary = descriptors.find((d) => d[0] === PRIMARY);
    if (!primary) throw new BootError('the ISO image is damaged: it has no primary volume descriptor.');
    this.#block = viewOf(primary).getUint16(128, true);
    if (this.#block < 512 || this.#block > SECTOR)
      fail(`the ISO image is damaged: its blocks have ${this.#block} bytes.`);
    this.root = rootOf(primary);
    this.#skip = this.#rockRidge();
    if (this.#skip !== undefined) return;
    const joliet = descriptors.find((d) => d[0] === SUPPLEMENTARY && JOLIET.includes(latin1(d.subarray(88, 91))));
    if (!joliet) return;
    this.#joliet = true;
    this.root = rootOf(joliet);
  }

  kind = ({ kind }: IsoNode): Kind => kind;
  size = ({ extents }: IsoNode): number => extents.reduce((sum, { size }) => sum + size, 0);
  target = ({ target }: IsoNode): string => target;
  names = (folder: IsoNode): string[] => [...this.#entries(folder).keys()];

  child(folder: IsoNode, name: string): IsoNode | undefined {
    // Plain names are in capitals.
    const plain = this.#skip === undefined && !this.#joliet;
    return this.#entries(folder).get(plain ? name.toLowerCase() : name);
  }

  read(node: IsoNode): Uint8Array {
    const size = this.size(node);
    if (size > this.#disk.size) fail('the ISO image is damaged: a file is larger than the disk.');
    const out = new Uint8Array(size);
    let to = 0;
    for (const extent of node.extents) {
      out.set(this.#disk.read(extent.at * this.#block, extent.size), to);
      to += extent.size;
    }
    return out;
  }

  #descriptors(): Uint8Array[] {
    const found: Uint8Array[] = [];
    for (let i = 0; i < MAX_DESCRIPTORS; i++) {
      const at = (FIRST_DESCRIPTOR + i) * SECTOR;
      if (at + SECTOR > this.#disk.size) break;
      const descriptor = this.#disk.read(at, SECTOR);
      if (latin1(descriptor.subarray(1, 6)) !== 'CD001' || descriptor[0] === END) break;
      found.push(descriptor);
    }
    return found;
  }

  /** The first record of the root says by its SP field how many bytes are to be left out. */
  #rockRidge(): number | undefined {
    const at = this.root.extents[0]!.at * this.#block;
    if (at + SECTOR > this.#disk.size) return undefined;
    const sector = this.#disk.read(at, SECTOR);
    const length = sector[0]!;
    if (length < 34 + 7) return undefined;
    const field = sector.subarray(34, length);
    return latin1(field.subarray(0, 2)) === 'SP' && field[4] === 0xbe && field[5] === 0xef ? field[6] : undefined;
  }

  #entries(folder: IsoNode): ReadonlyMap<string, IsoNode> {
    const key = folder.extents[0]?.at ?? 0;
    const known = this.#folders.get(key);
    if (known) return known;
    if (this.size(folder) > MAX_FOLDER) fail('the ISO image is damaged: a folder is too large.');
    const bytes = this.read(folder);
    const entries = new Map<string, IsoNode>();
    let pieces: Extent[] = [];
    for (let at = 0; at < bytes.length; ) {
      const length = bytes[at]!;
      // Records do not cross sectors.
      if (length < 34 || at + length > bytes.length) {
        at = (Math.floor(at / SECTOR) + 1) * SECTOR;
        continue;
      }
      const record = bytes.subarray(at, at + length);
      at += length;
      const nameLength = record[32]!;
      if (33 + nameLength > length || (nameLength === 1 && record[33]! < 2)) continue;
      pieces.push({ at: viewOf(record).getUint32(2, true), size: viewOf(record).getUint32(10, true) });
      if (record[25]! & FLAG_MORE) continue;
      const { name, kind, target } = this.#describe(record, nameLength);
      if (!entries.has(name)) entries.set(name, { kind, target, extents: pieces });
      pieces = [];
    }
    this.#folders.set(key, entries);
    return entries;
  }

  #describe(record: Uint8Array, nameLength: number): { name: string; kind: Kind; target: string } {
    const kind: Kind = record[25]! & FLAG_FOLDER ? 'folder' : 'file';
    const raw = record.subarray(33, 33 + nameLength);
    if (this.#joliet) return { name: utf16be(raw).replace(/;\d+$/, ''), kind, target: '' };
    const plain = latin1(raw).replace(/;\d+$/, '').replace(/\.$/, '').toLowerCase();
    if (this.#skip === undefined) return { name: plain, kind, target: '' };
    const fields = this.#fields(record.subarray(33 + nameLength + (nameLength % 2 === 0 ? 1 : 0) + this.#skip));
    return {
      name: fields.name === '' ? plain : fields.name,
      kind: fields.link === undefined ? kind : 'link',
      target: fields.link ?? '',
    };
  }

  /** NM: name, SL: link, CE: where the record goes on. */
  #fields(first: Uint8Array): { name: string; link: string | undefined } {
    const name: Uint8Array[] = [];
    let link: LinkText | undefined;
    let area: Uint8Array | undefined = first;
    for (let n = 0; area && n < MAX_CONTINUED; n++) {
      let next: Uint8Array | undefined;
      for (let at = 0; at + 4 <= area.length; ) {
        const tag = latin1(area.subarray(at, at + 2));
        const length = area[at + 2]!;
        if (length < 4 || at + length > area.length) break;
        const field = area.subarray(at, at + length);
        at += length;
        if (tag === 'NM' && length >= 5 && (field[4]! & 6) === 0) name.push(field.subarray(5));
        else if (tag === 'SL' && length >= 5) (link ??= new LinkText()).add(field.subarray(5));
        else if (tag === 'CE' && length >= 28) {
          const view = viewOf(field);
          next = this.#disk.read(
            view.getUint32(4, true) * this.#block + view.getUint32(12, true),
            Math.min(view.getUint32(20, true), SECTOR),
          );
        } else if (tag === 'ST') break;
      }
      area = next;
    }
    return { name: Buffer.concat(name).toString(), link: link?.text };
  }
}

function rootOf(descriptor: Uint8Array): IsoNode {
  const record = viewOf(descriptor.subarray(156, 190));
  return { kind: 'folder', target: '', extents: [{ at: record.getUint32(2, true), size: record.getUint32(10, true) }] };
}

const utf16be = (bytes: Uint8Array): string =>
  Buffer.from(bytes.subarray(0, bytes.length & ~1))
    .swap16()
    .toString('utf16le');

/** A link in components: flags, length, text. */
class LinkText {
  #text = '';
  #glue = true;

  add(components: Uint8Array): void {
    for (let at = 0; at + 2 <= components.length; ) {
      const flags = components[at]!;
      const length = components[at + 1]!;
      const own = Buffer.from(components.subarray(at + 2, at + 2 + length)).toString();
      const part = flags & 8 ? '/' : flags & 4 ? '..' : flags & 2 ? '.' : own;
      this.#text += (this.#glue || this.#text.endsWith('/') ? '' : '/') + part;
      // The next component goes on with this name.
      this.#glue = (flags & 1) !== 0;
      at += 2 + length;
    }
  }

  get text(): string {
    return this.#text;
  }
}
