// Small changes that the end of this process must not lose and the end of the machine must: they are noted in memory that is the
// operating system's (a file in tmpfs), until the image has them. Whoever opens the image next finds them by its file's number.
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  unlinkSync,
  writeSync,
  type Stats,
} from 'node:fs';
import { crc32 } from 'node:zlib';

/** Memory as a file: Linux has it everywhere. */
const FOLDER = '/dev/shm';
const LARGEST = 16 << 20;
const HEADER = 16;

export interface Note {
  at: number;
  bytes: Buffer;
}

/** Where notes are kept. Calls are done when they return: memory does not keep anybody waiting. */
export interface Journal {
  append(bytes: Buffer): void;
  /** Everything that was appended since it was cleared last, by whichever process. */
  read(): Buffer;
  clear(): void;
  /** Empty and gone. */
  remove(): void;
  /** Whoever opens the image next finds it. */
  leave(): void;
}

export class MemoryJournal implements Journal {
  readonly #path: string;
  readonly #fd: number;
  #end: number;

  private constructor(path: string, fd: number) {
    this.#path = path;
    this.#fd = fd;
    this.#end = fstatSync(fd).size;
  }

  /** The journal of the file with these numbers; undefined where there is no such memory, or somebody else's file of that name. */
  static of({ dev, ino }: Stats): MemoryJournal | undefined {
    const path = `${FOLDER}/xenolith-image-${dev}-${ino}`;
    let fd: number;
    try {
      fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
    } catch {
      return undefined;
    }
    const stat = fstatSync(fd);
    if (stat.isFile() && stat.uid === process.getuid?.() && (stat.mode & 0o077) === 0 && stat.size <= LARGEST)
      return new MemoryJournal(path, fd);
    closeSync(fd);
    return undefined;
  }

  append(bytes: Buffer): void {
    for (let done = 0; done < bytes.length; )
      done += writeSync(this.#fd, bytes, done, bytes.length - done, this.#end + done);
    this.#end += bytes.length;
  }

  read(): Buffer {
    const bytes = Buffer.alloc(this.#end);
    return bytes.subarray(0, readSync(this.#fd, bytes, 0, bytes.length, 0));
  }

  clear(): void {
    ftruncateSync(this.#fd, 0);
    this.#end = 0;
  }

  remove(): void {
    try {
      unlinkSync(this.#path);
    } catch {
      // somebody has tidied up
    }
    closeSync(this.#fd);
  }

  leave(): void {
    closeSync(this.#fd);
  }
}

/** A note as it is appended: token, length, place and checksum before the bytes. */
export function packNote(token: number, { at, bytes }: Note): Buffer {
  const packed = Buffer.alloc(HEADER + 8 + bytes.length);
  packed.writeUInt32LE(token, 4);
  packed.writeUInt32LE(bytes.length, 8);
  packed.writeDoubleLE(at, HEADER);
  bytes.copy(packed, HEADER + 8);
  packed.writeUInt32LE(crc32(packed.subarray(4)), 0);
  return packed;
}

/** The notes with this token, up to the first that is not whole: nobody was told that it had been made. */
export function* notesIn(packed: Buffer, token: number): Generator<Note> {
  for (let at = 0; at + HEADER + 8 <= packed.length; ) {
    const end = at + HEADER + 8 + packed.readUInt32LE(at + 8);
    if (end > packed.length || packed.readUInt32LE(at) !== crc32(packed.subarray(at + 4, end))) return;
    if (packed.readUInt32LE(at + 4) === token)
      yield { at: packed.readDoubleLE(at + HEADER), bytes: packed.subarray(at + HEADER + 8, end) };
    at = end;
  }
}
