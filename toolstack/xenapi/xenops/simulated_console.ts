/** The text console of a simulated machine: it says what it is, and repeats each line that is typed. */
import { Pacer } from '../../../services/rfb/backend/pacer.ts';
import { GuestConsole } from '../../host/console.ts';
import { TextDisplay } from '../../host/text_display.ts';

const MAX_KEPT = 1 << 16;
const MAX_LINE = 1000;
const ENTER = 0x0d;
const BACKSPACE = 0x7f;

const pacer = new Pacer();

export class SimulatedConsole {
  readonly console = new GuestConsole();
  readonly display: TextDisplay;
  #kept: Buffer = Buffer.alloc(0);
  #line = '';

  constructor(name: string) {
    this.display = new TextDisplay(name, this.console, pacer);
    this.console.connect({
      scrollback: () => this.#kept,
      onInput: (bytes) => {
        // What is typed is answered as by a guest: not within the call.
        setImmediate(() => this.#typed(bytes));
        return bytes.length;
      },
    });
    this.#say(`${name} is simulated: it repeats what is typed\r\n> `);
  }

  #say(text: string): void {
    const bytes = Buffer.from(text, 'latin1');
    this.#kept = Buffer.concat([this.#kept, bytes]).subarray(-MAX_KEPT);
    this.console.write(bytes);
  }

  #typed(bytes: Uint8Array): void {
    let answer = '';
    for (const byte of bytes)
      if (byte === ENTER) {
        answer += `\r\n${this.#line}\r\n> `;
        this.#line = '';
      } else if (byte === BACKSPACE) {
        if (this.#line !== '') answer += '\b \b';
        this.#line = this.#line.slice(0, -1);
      } else if (byte >= 0x20 && this.#line.length < MAX_LINE) {
        this.#line += String.fromCharCode(byte);
        answer += String.fromCharCode(byte);
      }
    if (answer !== '') this.#say(answer);
  }
}
