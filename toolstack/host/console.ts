// A guest's console and those who look at it. The back end keeps the last output; who attaches is shown what nobody has been shown yet,
// as from a pseudo terminal, and what follows. Nobody who reads slowly stops the guest: he misses what the back end has no room for.
import type { Duplex } from 'node:stream';
import type { ConsoleBackend, ConsoleSink } from '../../services/console/backend/console.ts';

/** Somebody at the other end of a connection. */
export interface Viewer {
  /** False: not now; `attached.resume()` goes on. */
  data(bytes: Uint8Array): boolean;
  /** There is room for input again after `attached.type` was false. */
  more(): void;
  /** The console is no more. */
  gone(): void;
}

export interface AttachOptions {
  /** From the beginning of what is kept, and what it is shown still counts as unseen: a picture that others look at. */
  whole?: boolean;
}

export interface Attached {
  resume(): void;
  /** False: no more before `more()`. */
  type(bytes: Uint8Array): boolean;
  detach(): void;
}

/** Input that waits for a guest that does not read, beyond what the back end keeps. */
const MAX_TYPED = 1 << 16;

class View implements Attached {
  readonly viewer: Viewer;
  readonly #console: GuestConsole;
  /** Bytes of output behind this one. */
  at: number;
  /** What it has been shown counts as seen. */
  readonly counts: boolean;
  behind = false;
  typed: Uint8Array = new Uint8Array(0);

  constructor(console: GuestConsole, viewer: Viewer, at: number, counts: boolean) {
    this.#console = console;
    this.viewer = viewer;
    this.at = at;
    this.counts = counts;
  }

  resume(): void {
    this.behind = false;
    this.#console.catchUp(this);
  }

  type(bytes: Uint8Array): boolean {
    this.typed = Buffer.concat([this.typed, bytes]);
    this.#console.feed();
    return this.typed.length < MAX_TYPED;
  }

  detach(): void {
    this.#console.detach(this);
  }
}

/** What a back end has that its console needs. */
export type ConsoleSource = Pick<ConsoleBackend, 'scrollback' | 'onInput'>;

export class GuestConsole implements ConsoleSink {
  /** Called when input waits for room: `feed` is to be called now and then. */
  readonly #waits: (console: GuestConsole) => void;
  #backend: ConsoleSource | undefined;
  readonly #views = new Set<View>();
  /** Bytes of output so far, and how many of them somebody has been shown. */
  #written = 0;
  #shown = 0;
  #gone = false;

  constructor(waits: (console: GuestConsole) => void = () => {}) {
    this.#waits = waits;
  }

  /** The back end comes with the domain, which needs this first. */
  connect(backend: ConsoleSource): void {
    this.#backend = backend;
  }

  write(bytes: Uint8Array): boolean {
    this.#written += bytes.length;
    for (const view of this.#views) {
      if (view.behind) continue;
      this.#show(view, bytes);
    }
    return true;
  }

  attach(viewer: Viewer, { whole = false }: AttachOptions = {}): Attached {
    const view = new View(this, viewer, whole ? 0 : this.#shown, !whole);
    if (!this.#gone) this.#views.add(view);
    this.catchUp(view);
    if (this.#gone) viewer.gone();
    return view;
  }

  detach(view: View): void {
    this.#views.delete(view);
  }

  /** What the view has not seen and the back end still has. */
  catchUp(view: View): void {
    const missed = this.#written - view.at;
    if (missed === 0 || view.behind) return;
    const kept = this.#backend?.scrollback() ?? new Uint8Array(0);
    this.#show(view, kept.subarray(Math.max(0, kept.length - missed)));
  }

  #show(view: View, bytes: Uint8Array): void {
    view.at = this.#written;
    if (view.counts) this.#shown = this.#written;
    view.behind = !view.viewer.data(bytes);
  }

  /** Passes on what was typed and had no room. */
  feed(): void {
    for (const view of this.#views) {
      if (view.typed.length === 0) continue;
      const full = view.typed.length >= MAX_TYPED;
      view.typed = view.typed.slice(this.#backend?.onInput(view.typed) ?? 0);
      if (full && view.typed.length < MAX_TYPED) view.viewer.more();
    }
    if (this.waiting) this.#waits(this);
  }

  /** Is there input that waits for room? */
  get waiting(): boolean {
    for (const view of this.#views) if (view.typed.length > 0) return true;
    return false;
  }

  /** Is there output that nobody has been shown? */
  get unseen(): boolean {
    return this.#shown < this.#written;
  }

  /** Does a terminal look on, which answers what the guest asks it? */
  get answered(): boolean {
    for (const view of this.#views) if (view.counts) return true;
    return false;
  }

  get gone(): boolean {
    return this.#gone;
  }

  end(): void {
    if (this.#gone) return;
    this.#gone = true;
    for (const view of this.#views) {
      this.catchUp(view);
      view.viewer.gone();
    }
    this.#views.clear();
  }
}

/** Bytes both ways between a console and a stream, until either ends. Who reads slowly misses something, who types too fast waits. */
export function connectTerminal(console: GuestConsole, stream: Duplex): void {
  stream.on('error', () => {}); // followed by close
  const attached = console.attach({
    data: (bytes) => stream.write(bytes),
    more: () => stream.resume(),
    gone: () => stream.end(),
  });
  stream.on('drain', () => attached.resume());
  stream.on('data', (bytes: Buffer) => {
    if (!attached.type(bytes)) stream.pause();
  });
  stream.on('end', () => stream.end());
  stream.on('close', () => attached.detach());
}
