/**
 * Who may log in by name and password: the local users of this host. `root` administers it; the others are subjects of the
 * pool, with roles. Passwords are kept as scrypt hashes only.
 */
import { createHmac, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';

interface Entry {
  salt: string;
  hash: string;
  /** scrypt's N. */
  cost: number;
}
type File = { users: Record<string, Entry> };

export const ROOT = 'root';
/** How a user of this host is called where a directory would have an identifier. */
export const localSubject = (name: string): string => `local:${name}`;

const COST = 16384;
const LENGTH = 32;
const MAX_PASSWORD = 1024;

const derive = (password: string, salt: Buffer, N: number): Promise<Buffer> =>
  new Promise((resolve, reject) =>
    scrypt(password, salt, LENGTH, { N, r: 8, p: 1 }, (error, key) => (error ? reject(error) : resolve(key))),
  );

export const validName = (name: string): boolean => /^[a-z_][a-z0-9_.-]{0,31}$/i.test(name);

export class Users {
  readonly #path: string | undefined;
  readonly #cost: number;
  #entries = new Map<string, Entry>();
  #stamp: string | undefined;
  /** Passwords that were right before, under a key that is this process's own: clients log in often. */
  readonly #known = new Map<string, Buffer>();
  readonly #key = randomBytes(32);
  #checks = 0;
  /** Checks that run side by side; each takes 16 MiB. */
  most = 2;
  /** Told of each new password. */
  onChange: (name: string) => void = () => {};
  readonly #queue: (() => void)[] = [];

  /** Without a path they are gone with the process. */
  constructor(path?: string, cost = COST) {
    this.#path = path;
    this.#cost = cost;
    this.#reload();
  }

  /** Somebody else (`xenolith user`) may have changed the file. */
  #reload(): void {
    if (this.#path === undefined) return;
    const state = statSync(this.#path, { throwIfNoEntry: false });
    const stamp = state && `${state.ino} ${state.mtimeMs}`;
    if (!state || stamp === this.#stamp) return;
    this.#stamp = stamp;
    const file = JSON.parse(readFileSync(this.#path, 'utf8')) as File;
    this.#entries = new Map(Object.entries(file.users));
    this.#known.clear();
  }

  has(name: string): boolean {
    this.#reload();
    return this.#entries.has(name);
  }

  get names(): string[] {
    this.#reload();
    return [...this.#entries.keys()];
  }

  async setPassword(name: string, password: string): Promise<void> {
    if (password.length > MAX_PASSWORD) throw new RangeError('too long a password');
    const salt = randomBytes(16);
    const cost = this.#cost;
    const hash = await derive(password, salt, cost);
    this.#reload();
    this.#entries.set(name, { salt: salt.toString('base64'), hash: hash.toString('base64'), cost });
    this.#known.delete(name);
    this.#save();
    this.onChange(name);
  }

  remove(name: string): void {
    this.#reload();
    this.#entries.delete(name);
    this.#known.delete(name);
    this.#save();
  }

  #save(): void {
    if (this.#path === undefined) return;
    const aside = `${this.#path}.new`;
    writeFileSync(aside, `${JSON.stringify({ users: Object.fromEntries(this.#entries) })}\n`, {
      mode: 0o600,
      flush: true,
    });
    renameSync(aside, this.#path);
    const { ino, mtimeMs } = statSync(this.#path);
    this.#stamp = `${ino} ${mtimeMs}`;
  }

  #digest(name: string, password: string): Buffer {
    return createHmac('sha256', this.#key).update(`${name.length}:${name}${password}`).digest();
  }

  /** Takes as long for a name that there is not. */
  async check(name: string, password: string): Promise<boolean> {
    if (password.length > MAX_PASSWORD) return false;
    this.#reload();
    const entry = this.#entries.get(name);
    const digest = this.#digest(name, password);
    const known = this.#known.get(name);
    if (entry && known && timingSafeEqual(known, digest)) return true;
    const salt = Buffer.from(entry?.salt ?? '', 'base64');
    await this.#enter();
    try {
      const hash = await derive(password, salt, entry?.cost ?? this.#cost);
      const right = entry !== undefined && timingSafeEqual(hash, Buffer.from(entry.hash, 'base64'));
      if (right && this.#entries.get(name) === entry) this.#known.set(name, digest);
      return right;
    } finally {
      this.#checks--;
      this.#queue.shift()?.();
    }
  }

  async #enter(): Promise<void> {
    if (this.#checks >= this.most) await new Promise<void>((resolve) => this.#queue.push(resolve));
    this.#checks++;
  }
}
