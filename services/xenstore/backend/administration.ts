// What CONTROL does with files and with the service itself: the log of messages, memory reports, the restart.
import { closeSync, openSync, writeSync } from 'node:fs';
import type { Connection } from '../protocol/connection.ts';
import type { Administration } from '../protocol/control.ts';
import type { Store } from '../protocol/store.ts';
import { XS, XsError, type XsErrorCode } from '../protocol/wire.ts';

const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(XS).map(([name, type]) => [type, name]));
const PASSED_ON: readonly string[] = ['EACCES', 'EISDIR', 'ENOENT', 'ENOSPC', 'EROFS'];

/** An error of the file system as one that the wire knows. */
function passOn<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    throw new XsError(PASSED_ON.includes(code) ? (code as XsErrorCode) : 'EIO', (error as Error).message);
  }
}

export interface AdministrationOptions {
  /** File of the log until CONTROL names another. */
  logfile: string;
  /** Restarts the store in place (restartStore); it is called between requests. Absent: live-update is refused. */
  restart?: () => void;
}

/** Lets CONTROL of `store`, and of the stores that take its place, do everything. Returns what closes the log. */
export function administer(store: Store, options: AdministrationOptions): () => void {
  const log = new Log(options.logfile);
  const administration: Administration = {
    log: (by, on) => {
      if (on) log.open();
      by.onLog = on ? (...message) => log.message(...message) : undefined;
    },
    logfile: (name) => log.use(name),
    memreport: (text, file) => {
      if (file === undefined) return log.write(text);
      const fd = passOn(() => openSync(file, 'w', 0o600));
      passOn(() => writeSync(fd, text));
      closeSync(fd);
    },
    ...(options.restart && { liveUpdate: () => void setImmediate(options.restart!) }),
  };
  store.administration = administration;
  return () => log.close();
}

class Log {
  #path: string;
  #fd: number | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  open(): number {
    return (this.#fd ??= passOn(() => openSync(this.#path, 'a', 0o600)));
  }

  /** Goes on in another file, once that is open. */
  use(path: string): void {
    const fd = passOn(() => openSync(path, 'a', 0o600));
    this.close();
    [this.#path, this.#fd] = [path, fd];
  }

  write(text: string): void {
    const fd = this.open();
    passOn(() => writeSync(fd, text));
  }

  message(connection: Connection, direction: 'in' | 'out', type: number, payload: string): void {
    const who = `${connection.privileged ? 'socket' : 'domain'} ${connection.privileged ? connection.serial : connection.domid}`;
    const text = payload
      .replaceAll('\0', ' ')
      .replace(/[^ -~]/g, '.')
      .trimEnd();
    try {
      this.write(`${new Date().toISOString()} ${who} ${direction} ${NAMES.get(type) ?? type} ${text}\n`);
    } catch {
      // A full disk is no reason to stop serving.
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}
