// A small ISO 9660 volume (ECMA-119) of files in its root, with their names by Rock Ridge (RRIP 1.09 over SUSP 1.10) for Unix and by Joliet for
// Windows. Enough for cloud-init's seed; a folder tree is not needed there.

export interface IsoFile {
  name: string;
  contents: Uint8Array;
}

const SECTOR = 2048;
const FIRST_DESCRIPTOR = 16;
const ROOT = Buffer.from([0]);
const PARENT = Buffer.from([1]);
const [IS_FOLDER, IS_FILE] = [2, 0];
const MODE = { folder: 0o40555, file: 0o100444 };
/** Sectors and lengths have 32 bits; what is made here is made in memory. */
const MAX_FILE = 256 << 20;
const MAX_FILES = 1000;

/** A name that cannot be, or too much. */
export class IsoError extends Error {}

const both16 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt16LE(value, 0);
  bytes.writeUInt16BE(value, 2);
  return bytes;
};

const both32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(value, 0);
  bytes.writeUInt32BE(value, 4);
  return bytes;
};

const ucs2 = (text: string): Buffer => Buffer.from(text, 'utf16le').swap16();

/** Seven bytes of a directory record; UTC. */
const recordDate = (date: Date): Buffer =>
  Buffer.from([
    ...[date.getUTCFullYear() - 1900, date.getUTCMonth() + 1, date.getUTCDate()],
    ...[date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds(), 0],
  ]);

/** Sixteen digits and the offset from UTC. */
const volumeDate = (date: Date): Buffer =>
  Buffer.concat([Buffer.from(`${date.toISOString().replace(/\D/g, '').slice(0, 14)}00`, 'latin1'), Buffer.from([0])]);

// ---- system use fields of Rock Ridge

const field = (name: string, ...parts: Uint8Array[]): Buffer => {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from(name, 'latin1'), Buffer.from([4 + body.length, 1]), body]);
};
const posix = (mode: number, links: number): Buffer => field('PX', both32(mode), both32(links), both32(0), both32(0));
const sharing = field('SP', Buffer.from([0xbe, 0xef, 0]));
const reference = ((): Buffer => {
  const [id, about, source] = ['RRIP_1991A', 'POSIX FILE SYSTEM SEMANTICS', 'IEEE'].map((text) =>
    Buffer.from(text, 'latin1'),
  );
  return field('ER', Buffer.from([id!.length, about!.length, source!.length, 1]), id!, about!, source!);
})();
const alternateName = (name: string): Buffer => field('NM', Buffer.from([0]), Buffer.from(name));

interface Extent {
  sector: number;
  length: number;
}

function record(
  id: Buffer,
  { sector, length }: Extent,
  flags: number,
  date: Date,
  systemUse: Buffer = Buffer.alloc(0),
): Buffer {
  const padding = Buffer.alloc(id.length % 2 === 0 ? 1 : 0);
  const head = [both32(sector), both32(length), recordDate(date), Buffer.from([flags, 0, 0]), both16(1)];
  const body = Buffer.concat([...head, Buffer.from([id.length]), id, padding, systemUse]);
  const even = body.length % 2 === 0 ? body : Buffer.concat([body, Buffer.alloc(1)]);
  if (even.length + 2 > 255) throw new IsoError(`a file's name is too long (${id.length} bytes)`);
  return Buffer.concat([Buffer.from([even.length + 2, 0]), even]);
}

/** Records do not cross sectors. */
function folder(records: readonly Buffer[]): Buffer {
  const sectors: Buffer[][] = [[]];
  let used = 0;
  for (const each of records) {
    if (used + each.length > SECTOR) {
      sectors.at(-1)!.push(Buffer.alloc(SECTOR - used));
      sectors.push([]);
      used = 0;
    }
    sectors.at(-1)!.push(each);
    used += each.length;
  }
  sectors.at(-1)!.push(Buffer.alloc(SECTOR - used));
  return Buffer.concat(sectors.flat());
}

/** A name of level 1: eight letters, three more, version 1; different ones for different files. */
function plainNames(files: readonly IsoFile[]): string[] {
  const taken = new Set<string>();
  return files.map(({ name }) => {
    const [, stem, extension = ''] = /^(.*?)(?:\.([^.]*))?$/.exec(name.toUpperCase().replace(/[^A-Z0-9.]/g, '_'))!;
    const base = (stem || '_').replaceAll('.', '_').slice(0, 8);
    for (let n = 0; ; n++) {
      const tail = n === 0 ? '' : String(n);
      const plain = `${base.slice(0, 8 - tail.length)}${tail}.${extension.slice(0, 3)};1`;
      if (taken.has(plain)) continue;
      taken.add(plain);
      return plain;
    }
  });
}

interface Tree {
  names: Buffer[];
  rock: boolean;
}

/** The root folder with its files at these places. */
function rootFolder(
  files: readonly IsoFile[],
  places: readonly Extent[],
  self: Extent,
  { names, rock }: Tree,
  date: Date,
): Buffer {
  const own = rock ? Buffer.concat([sharing, posix(MODE.folder, 2), reference]) : Buffer.alloc(0);
  const parent = rock ? posix(MODE.folder, 2) : Buffer.alloc(0);
  const sorted = files
    .map(({ name }, i) => ({ name, id: names[i]!, place: places[i]! }))
    .sort((a, b) => Buffer.compare(a.id, b.id));
  return folder([
    record(ROOT, self, IS_FOLDER, date, own),
    record(PARENT, self, IS_FOLDER, date, parent),
    ...sorted.map(({ name, id, place }) =>
      record(
        id,
        place,
        IS_FILE,
        date,
        rock ? Buffer.concat([posix(MODE.file, 1), alternateName(name)]) : Buffer.alloc(0),
      ),
    ),
  ]);
}

function descriptor(
  volume: string,
  at: { total: number; path: number; root: Extent },
  joliet: boolean,
  date: Date,
): Buffer {
  const bytes = Buffer.alloc(SECTOR);
  const text = (from: number, length: number, value: string): void => {
    const encoded = joliet ? ucs2(value) : Buffer.from(value, 'latin1');
    for (let i = 0; i < length; i += joliet ? 2 : 1)
      joliet ? bytes.writeUInt16BE(0x20, from + Math.min(i, length - 2)) : (bytes[from + i] = 0x20);
    encoded.subarray(0, length).copy(bytes, from);
  };
  bytes[0] = joliet ? 2 : 1;
  bytes.write('CD001\x01', 1, 'latin1');
  text(8, 32, '');
  text(40, 32, volume);
  both32(at.total).copy(bytes, 80);
  if (joliet) bytes.write('%/E', 88, 'latin1'); // UCS-2, level 3
  both16(1).copy(bytes, 120);
  both16(1).copy(bytes, 124);
  both16(SECTOR).copy(bytes, 128);
  both32(PATH_TABLE).copy(bytes, 132);
  bytes.writeUInt32LE(at.path, 140);
  bytes.writeUInt32BE(at.path + 1, 148);
  record(ROOT, at.root, IS_FOLDER, date).copy(bytes, 156);
  for (const [
    from,
    length,
  ] of [[190, 128], [318, 128], [446, 128], [574, 128], [702, 37], [739, 37], [776, 37]] as const) // prettier-ignore
    text(from, length - (joliet && length === 37 ? 1 : 0), '');
  for (const from of [813, 830]) volumeDate(date).copy(bytes, from);
  for (const from of [847, 864]) bytes.fill('0', from, from + 16, 'latin1'); // never
  bytes[881] = 1;
  return bytes;
}

/** A path table with nothing but the root. */
const PATH_TABLE = 10;
function pathTable(root: number, big: boolean): Buffer {
  const bytes = Buffer.alloc(SECTOR);
  bytes[0] = 1;
  if (big) bytes.writeUInt32BE(root, 2);
  else bytes.writeUInt32LE(root, 2);
  bytes[big ? 7 : 6] = 1;
  return bytes;
}

const sectorsOf = (length: number): number => Math.ceil(length / SECTOR);
const padded = (bytes: Uint8Array): Buffer => Buffer.concat([bytes], sectorsOf(bytes.length) * SECTOR);

/** The volume's bytes; equal for equal arguments. */
export function makeIso(volume: string, files: readonly IsoFile[], date: Date): Buffer {
  check(volume, files);
  const plain: Tree = { names: plainNames(files).map((name) => Buffer.from(name, 'latin1')), rock: true };
  const joliet: Tree = { names: files.map(({ name }) => ucs2(name)), rock: false };
  const nowhere = files.map(() => ({ sector: 0, length: 0 }));
  const sizeOf = (tree: Tree): number => rootFolder(files, nowhere, { sector: 0, length: 0 }, tree, date).length;
  const tables = FIRST_DESCRIPTOR + 3;
  const root: Extent = { sector: tables + 4, length: sizeOf(plain) };
  const other: Extent = { sector: root.sector + sectorsOf(root.length), length: sizeOf(joliet) };
  let next = other.sector + sectorsOf(other.length);
  const places = files.map(({ contents }) => {
    const place = { sector: next, length: contents.length };
    next += sectorsOf(contents.length);
    return place;
  });
  const end = Buffer.alloc(SECTOR);
  end[0] = 255;
  end.write('CD001\x01', 1, 'latin1');
  return Buffer.concat([
    Buffer.alloc(FIRST_DESCRIPTOR * SECTOR),
    descriptor(volume, { total: next, path: tables, root }, false, date),
    descriptor(volume, { total: next, path: tables + 2, root: other }, true, date),
    end,
    ...[root, other].flatMap(({ sector }) => [pathTable(sector, false), pathTable(sector, true)]),
    rootFolder(files, places, root, plain, date),
    rootFolder(files, places, other, joliet, date),
    ...files.map(({ contents }) => padded(contents)),
  ]);
}

function check(volume: string, files: readonly IsoFile[]): void {
  if (!/^[\w-]{1,16}$/.test(volume)) throw new IsoError(`'${volume}' is no name for a volume`);
  if (files.length > MAX_FILES) throw new IsoError(`${files.length} files are too many`);
  const names = new Set<string>();
  for (const { name, contents } of files) {
    if (name === '' || name === '.' || name === '..' || /[/\\:*?"<>|\0-\x1f]/.test(name) || name.length > 64)
      throw new IsoError(`'${name}' is no name for a file there`);
    if (names.has(name)) throw new IsoError(`there are two files ${name}`);
    if (contents.length > MAX_FILE) throw new IsoError(`${name} is larger than ${MAX_FILE >> 20} MiB`);
    names.add(name);
  }
}
