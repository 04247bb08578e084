// A guest's text console as a screen for viewers by RFB: drawn into a terminal that is there while somebody looks at it.
import type { Duplex } from 'node:stream';
import type { Pacer } from '../../services/rfb/backend/pacer.ts';
import { RfbServer } from '../../services/rfb/backend/server.ts';
import { TextScreen } from '../../services/rfb/text/screen.ts';
import type { Attached, GuestConsole } from './console.ts';

/** A guest that writes faster than can be drawn is looked at again after this at most. */
const MAX_REST_MS = 250;

/** The terminal between a console and a screen. */
class Picture {
  readonly screen: TextScreen;
  readonly #attached: Attached;
  #past = true;
  #room = true;
  #full = 0;
  #rest: NodeJS.Timeout | undefined;

  constructor(name: string, console: GuestConsole, gone: () => void) {
    this.screen = new TextScreen(
      name,
      (bytes) => this.#type(bytes),
      // Where a person's terminal is attached as well, that one answers what the guest asks.
      (bytes) => !console.answered && this.#type(bytes),
    );
    this.screen.onRoom = () => this.#resume();
    this.#attached = console.attach(
      {
        data: (bytes) => this.#show(bytes),
        more: () => void (this.#room = true),
        gone,
      },
      { whole: true },
    );
    this.#past = false;
  }

  #show(bytes: Uint8Array): boolean {
    const wanted = this.screen.feed(bytes, this.#past);
    if (!wanted) this.#full = performance.now();
    return wanted;
  }

  /** Drawing takes at most half of the thread's time. */
  #resume(): void {
    const took = performance.now() - this.#full;
    this.#rest = setTimeout(() => this.#attached.resume(), Math.min(took, MAX_REST_MS));
  }

  /** Keys that a guest has no room for are lost, as on a keyboard. */
  #type(bytes: Uint8Array): void {
    if (this.#room) this.#room = this.#attached.type(bytes);
  }

  close(): void {
    clearTimeout(this.#rest);
    this.#attached.detach();
    this.screen.close();
  }
}

export class TextDisplay {
  readonly #name: string;
  readonly #console: GuestConsole;
  readonly #pacer: Pacer;
  #server: RfbServer | undefined;

  constructor(name: string, console: GuestConsole, pacer: Pacer) {
    this.#name = name;
    this.#console = console;
    this.#pacer = pacer;
  }

  get full(): boolean {
    return this.#server?.full ?? false;
  }

  /** Another viewer, who may look. */
  serve(stream: Duplex): void {
    if (this.#console.gone) {
      stream.destroy();
      return;
    }
    if (!this.#server) this.#open();
    this.#server!.serve(stream, true);
  }

  #open(): void {
    const picture = new Picture(this.#name, this.#console, () => this.#server?.close());
    const server = new RfbServer(picture.screen, '', this.#pacer);
    server.onAlone = () => {
      if (this.#server !== server) return;
      this.#server = undefined;
      picture.close();
    };
    this.#server = server;
  }
}
