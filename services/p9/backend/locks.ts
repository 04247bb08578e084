// Locks of ranges of files as POSIX has them, for all shares of a host: of the guests' processes among each other. Programs of the host are not asked.

export const LOCK = { READ: 0, WRITE: 1, UNLOCK: 2 } as const;

export interface Lock {
  type: number;
  start: bigint;
  /** Behind the last byte. */
  end: bigint;
  owner: string;
  /** A process's number in its guest. */
  process: number;
  /** Who holds it open. */
  by: object;
}

/** Ranges of one file. */
const MAX_LOCKS = 1024;
export const WHOLE = 1n << 63n;

export class Locks {
  readonly #files = new Map<string, Lock[]>();

  conflict(file: string, wanted: Lock): Lock | undefined {
    return this.#files.get(file)?.find((held) => held.owner !== wanted.owner && overlap(held, wanted) && (held.type === LOCK.WRITE || wanted.type === LOCK.WRITE)); // prettier-ignore
  }

  /** False: somebody else's are in the way. `undefined`: there are too many. What the owner had of that range is replaced. */
  set(file: string, wanted: Lock): boolean | undefined {
    if (wanted.type !== LOCK.UNLOCK && this.conflict(file, wanted)) return false;
    const rest = (this.#files.get(file) ?? []).flatMap((held) =>
      held.owner === wanted.owner && overlap(held, wanted) ? without(held, wanted) : [held],
    );
    if (wanted.type !== LOCK.UNLOCK) rest.push(wanted);
    if (rest.length > MAX_LOCKS) return undefined;
    this.#keep(file, rest);
    return true;
  }

  /** Who has it open closes it. */
  drop(file: string, by: object): void {
    const held = this.#files.get(file);
    if (held) this.#keep(file, held.filter((lock) => lock.by !== by)); // prettier-ignore
  }

  #keep(file: string, list: Lock[]): void {
    if (list.length === 0) this.#files.delete(file);
    else this.#files.set(file, list);
  }
}

const overlap = (a: Lock, b: Lock): boolean => a.start < b.end && b.start < a.end;

function without(held: Lock, { start, end }: Lock): Lock[] {
  return [
    ...(held.start < start ? [{ ...held, end: start }] : []),
    ...(held.end > end ? [{ ...held, start: end }] : []),
  ];
}
