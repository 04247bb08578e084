// What a terminal sends for the keys of X's keysyms, as xterm does. Pure.

/** Keys that change what others mean. */
export class Modifiers {
  readonly #down = new Set<number>();

  /** True: it is one. */
  key(down: boolean, keysym: number): boolean {
    if (keysym < 0xffe1 || keysym > 0xffee) return false;
    if (down) this.#down.add(keysym);
    else this.#down.delete(keysym);
    return true;
  }

  get control(): boolean {
    return this.#down.has(0xffe3) || this.#down.has(0xffe4);
  }

  get alt(): boolean {
    return this.#down.has(0xffe9) || this.#down.has(0xffea) || this.#down.has(0xffe7);
  }
}

/** With an ESC and a bracket before them, or an O in the mode of application keys. */
const CURSOR: Readonly<Record<number, string>> = {
  ...{ 0xff50: 'H', 0xff51: 'D', 0xff52: 'A', 0xff53: 'C', 0xff54: 'B', 0xff57: 'F' },
  ...{ 0xff95: 'H', 0xff96: 'D', 0xff97: 'A', 0xff98: 'C', 0xff99: 'B', 0xff9c: 'F' },
};

const FIXED: Readonly<Record<number, string>> = {
  ...{ 0xff08: '\x7f', 0xff09: '\t', 0xff0a: '\n', 0xff0d: '\r', 0xff8d: '\r', 0xff1b: '\x1b', 0xfe20: '\x1b[Z' },
  ...{ 0xff55: '\x1b[5~', 0xff56: '\x1b[6~', 0xff63: '\x1b[2~', 0xffff: '\x1b[3~' },
  ...{ 0xff9a: '\x1b[5~', 0xff9b: '\x1b[6~', 0xff9e: '\x1b[2~', 0xff9f: '\x1b[3~' },
  ...{ 0xffaa: '*', 0xffab: '+', 0xffad: '-', 0xffae: '.', 0xffaf: '/' },
  ...Object.fromEntries(Array.from({ length: 10 }, (_, i) => [0xffb0 + i, String(i)])),
  ...Object.fromEntries(['P', 'Q', 'R', 'S'].map((letter, i) => [0xffbe + i, `\x1bO${letter}`])),
  ...Object.fromEntries([15, 17, 18, 19, 20, 21, 23, 24].map((n, i) => [0xffc2 + i, `\x1b[${n}~`])),
};

/** The character of a keysym: Latin 1 as it is, others behind 0x01000000. */
function characterOf(keysym: number): string | undefined {
  if ((keysym >= 0x20 && keysym <= 0x7e) || (keysym >= 0xa0 && keysym <= 0xff)) return String.fromCharCode(keysym);
  const code = keysym - 0x01000000;
  const isCharacter = code >= 0x20 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
  return isCharacter ? String.fromCodePoint(code) : undefined;
}

/** Undefined: it stands for nothing. */
export function keyBytes(
  keysym: number,
  { control, alt }: Pick<Modifiers, 'control' | 'alt'>,
  application: boolean,
): Uint8Array | undefined {
  const cursor = CURSOR[keysym];
  let text = cursor === undefined ? FIXED[keysym] : `\x1b${application ? 'O' : '['}${cursor}`;
  if (text === undefined) {
    const character = characterOf(keysym);
    if (character === undefined) return undefined;
    text = control ? controlled(character) : character;
  }
  return Buffer.from(alt ? `\x1b${text}` : text, 'utf8');
}

/** Control with a letter, and with what stands beside the letters in ASCII. */
function controlled(character: string): string {
  const code = character.toUpperCase().charCodeAt(0);
  if (character === ' ' || character === '2') return '\0';
  if (character === '?') return '\x7f';
  return code >= 0x40 && code <= 0x5f ? String.fromCharCode(code & 0x1f) : character;
}
