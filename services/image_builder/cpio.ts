// The archive Linux unpacks into its first root file system: cpio "newc" (kernel documentation, "initramfs buffer
// format"). Owners are root and times are 0, so equal input gives equal bytes, and no privilege is needed.

const MAGIC = '070701';
const HEADER = 110;
const END = 'TRAILER!!!';

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFCHR = 0o020000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;

export interface CpioEntry {
  path: string;
  /** file type and permissions, as in stat */
  mode: number;
  content: Uint8Array;
  /** of a device node */
  device?: [major: number, minor: number];
}

const NOTHING = new Uint8Array(0);

export const directory = (path: string, permissions = 0o755): CpioEntry => ({
  path,
  mode: S_IFDIR | permissions,
  content: NOTHING,
});
export const file = (path: string, content: Uint8Array, permissions = 0o644): CpioEntry => ({
  path,
  mode: S_IFREG | permissions,
  content,
});
export const link = (path: string, target: string): CpioEntry => ({
  path,
  mode: S_IFLNK | 0o777,
  content: Buffer.from(target),
});
export const characterDevice = (path: string, major: number, minor: number, permissions = 0o600): CpioEntry => ({
  path,
  mode: S_IFCHR | permissions,
  content: NOTHING,
  device: [major, minor],
});

const padding = (length: number): Uint8Array => new Uint8Array(-length & 3);

export function writeCpio(entries: CpioEntry[]): Buffer {
  const parts: Uint8Array[] = [];
  const add = (entry: CpioEntry, inode: number) => {
    const name = Buffer.from(`${entry.path}\0`);
    const links = (entry.mode & S_IFMT) === S_IFDIR ? 2 : 1;
    const [major, minor] = entry.device ?? [0, 0];
    // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
    const fields = [inode, entry.mode, 0, 0, links, 0, entry.content.length, 0, 0, major, minor, name.length, 0];
    const header = MAGIC + fields.map((value) => value.toString(16).padStart(8, '0')).join('');
    parts.push(Buffer.from(header), name, padding(HEADER + name.length));
    parts.push(entry.content, padding(entry.content.length));
  };
  entries.forEach((entry, index) => add(entry, index + 1));
  add({ path: END, mode: 0, content: NOTHING }, 0);
  return Buffer.concat(parts);
}

/** The reverse; throws on anything that is not a whole archive. */
export function readCpio(archive: Uint8Array): CpioEntry[] {
  const bytes = Buffer.from(archive.buffer, archive.byteOffset, archive.byteLength);
  const entries: CpioEntry[] = [];
  for (let at = 0; ; ) {
    if (at + HEADER > bytes.length) throw new Error('the cpio archive is cut off');
    if (bytes.toString('latin1', at, at + 6) !== MAGIC) throw new Error(`no cpio header at byte ${at}`);
    const value = (index: number): number => {
      const digits = bytes.toString('latin1', at + 6 + index * 8, at + 14 + index * 8);
      if (!/^[0-9a-fA-F]{8}$/.test(digits)) throw new Error(`a bad number in the cpio header at byte ${at}`);
      return Number.parseInt(digits, 16);
    };
    const start = (at + HEADER + value(11) + 3) & ~3;
    const end = start + value(6);
    if (end > bytes.length) throw new Error('the cpio archive is cut off');
    const path = bytes.toString('utf8', at + HEADER, at + HEADER + value(11) - 1);
    if (path === END) return entries;
    const entry: CpioEntry = { path, mode: value(1), content: bytes.subarray(start, end) };
    if ((entry.mode & S_IFMT) === S_IFCHR) entry.device = [value(9), value(10)];
    entries.push(entry);
    at = (end + 3) & ~3;
  }
}
