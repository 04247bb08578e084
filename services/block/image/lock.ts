// Several readers of an image or one writer, in this process and all others: locks of the kernel on the open file, which go with
// it however its process ends. On Linux they are QEMU's (on bytes of the file, F_OFD_SETLK), so that its programs and ours
// keep off each other's images too; elsewhere they are on the whole file.
//
// QEMU has a byte for each thing one may do with an image and one for each thing that one does not let others do; whoever does
// it holds the byte as a shared lock. Our own bytes are locked first and then the others' looked at, so of two who come at the
// same time at least one gives way.
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { HostFile, image_error, native } from './file.ts';
import { ImageError } from './image.ts';

const DOES = 100;
const FORBIDS = 200;
const READ = 0;
const WRITE = 1;
const RESIZE = 3;
/** Held by our own writers as a whole: who may open the image for reading only cannot look at the other bytes. */
const WRITER = 300;

const sharedLock = (fd: number, byte: number): boolean => native!.tryLock(fd, byte, 1, { shared: true });

/** Whether somebody else holds the byte; what we hold of it stays as it was. */
function heldElsewhere(fd: number, byte: number, ours: boolean): boolean {
  if (!native!.tryLock(fd, byte, 1)) return true;
  if (ours) native!.tryDowngradeLock(fd, byte, 1);
  else native!.unlock(fd, byte, 1);
  return false;
}

function lockBytes(fd: number, writes: boolean, canLook: boolean): boolean {
  const does = writes ? [READ, WRITE, RESIZE] : [READ];
  const forbids = [WRITE, RESIZE];
  if (!(writes ? native!.tryLock(fd, WRITER, 1) : sharedLock(fd, WRITER))) return false;
  for (const each of does) if (!sharedLock(fd, DOES + each)) return false;
  for (const each of forbids) if (!sharedLock(fd, FORBIDS + each)) return false;
  if (!canLook) return true;
  return (
    !forbids.some((each) => heldElsewhere(fd, DOES + each, does.includes(each))) &&
    !does.some((each) => heldElsewhere(fd, FORBIDS + each, forbids.includes(each)))
  );
}

/** Holds until it is called. */
export type Release = () => void;

/** Looking at a byte holds it for a moment, which somebody who looks at the same moment takes for a lock. */
const ATTEMPTS = 4;
const PAUSE_MS = 5;

/** Locks the image for reading or writing, or throws that somebody else has it. */
export async function lock_image(file: HostFile, writes: boolean): Promise<Release> {
  const { path } = file;
  if (!native) {
    const why = 'images cannot be locked on this system, for which fs-native-extensions has no build.';
    throw new ImageError('unsupported', why, { path });
  }
  for (let attempt = 1; ; attempt++) {
    const { fd, canLook } = openForLock(file, writes);
    const release = () => closeSync(fd);
    try {
      const linux = process.platform === 'linux';
      if (linux ? lockBytes(fd, writes, canLook) : native.tryLock(fd, 0, 0, { shared: !writes })) return release;
    } catch (error) {
      release();
      const why = `it cannot be locked (${(error as NodeJS.ErrnoException).code}): its file system has no locks.`;
      throw new ImageError('unsupported', why, { path, cause: error });
    }
    release();
    if (attempt === ATTEMPTS) break;
    await sleep(PAUSE_MS * (1 + Math.random()));
  }
  const why = writes ? 'another guest or program has it open' : 'another guest or program has it open for writing';
  throw new ImageError('locked', `${why}; end that first.`, { path });
}

/** Looking at others' locks takes a file open for writing, though nothing is written. */
function openForLock(file: HostFile, writes: boolean): { fd: number; canLook: boolean } {
  const opened = (flags: number): number => {
    const fd = openSync(file.path, flags | constants.O_NONBLOCK);
    const { dev, ino } = fstatSync(fd);
    if (dev === file.stat.dev && ino === file.stat.ino) return fd;
    closeSync(fd);
    throw new ImageError('locked', 'it was replaced while it was opened; try again.', { path: file.path });
  };
  try {
    return { fd: opened(constants.O_RDWR), canLook: true };
  } catch (error) {
    if (writes || error instanceof ImageError) throw image_error(error, file.path, 'locking');
    return { fd: opened(constants.O_RDONLY), canLook: false };
  }
}

/** A file whose closing gives up its lock. */
class LockedFile extends HostFile {
  release: Release = () => undefined;

  override async close(): Promise<void> {
    await super.close();
    this.release();
  }
}

/** Opens an image's file for reading or writing, with its lock. */
export async function open_locked(
  path: string,
  options: { readonly: boolean; lock: boolean; here?: boolean },
): Promise<HostFile> {
  const file = new LockedFile(path, options);
  try {
    if (options.lock) file.release = await lock_image(file, !options.readonly);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}
