// From X's keysyms, which viewers send, to Linux' key codes, which keyboards of guests send. Pure.

const ROWS: readonly [first: number, plain: string, shifted: string][] = [
  [2, '1234567890-=', '!@#$%^&*()_+'],
  [16, 'qwertyuiop[]', 'QWERTYUIOP{}'],
  [30, "asdfghjkl;'`", 'ASDFGHJKL:"~'],
  [43, '\\zxcvbnm,./', '|ZXCVBNM<>?'],
  [57, ' ', ''],
];

/** Of a keyboard with the layout of the United States: the key, and whether Shift goes with it; undefined: either way. */
const KEYS = new Map<number, { code: number; shift: boolean | undefined }>();

for (const [first, plain, shifted] of ROWS)
  for (const [text, shift] of [
    [plain, false],
    [shifted, true],
  ] as const)
    [...text].forEach((character, i) =>
      KEYS.set(character.charCodeAt(0), { code: first + i, shift: character === ' ' ? undefined : shift }),
    );

/** BackSpace, Tab … by their names' keysyms. */
const OTHERS: readonly (readonly [keysym: number, code: number])[] = [
  [0xff08, 14],
  [0xff09, 15],
  [0xfe20, 15],
  [0xff0d, 28],
  [0xff13, 119],
  [0xff14, 70],
  [0xff15, 99],
  [0xff1b, 1],
  // Home, Left, Up, Right, Down, Page Up, Page Down, End
  ...[102, 105, 103, 106, 108, 104, 109, 107].map((code, i) => [0xff50 + i, code] as const),
  [0xff61, 99],
  [0xff63, 110],
  [0xff67, 127],
  [0xff7f, 69],
  [0xff8d, 96],
  // The keypad's Home, Left, Up, Right, Down, Page Up, Page Down, End, Begin, Insert, Delete
  ...[71, 75, 72, 77, 80, 73, 81, 79, 76, 82, 83].map((code, i) => [0xff95 + i, code] as const),
  [0xffaa, 55],
  [0xffab, 78],
  [0xffad, 74],
  [0xffae, 83],
  [0xffaf, 98],
  ...[82, 79, 80, 81, 75, 76, 77, 71, 72, 73].map((code, i) => [0xffb0 + i, code] as const),
  // F1 to F10, F11, F12
  ...Array.from({ length: 10 }, (_, i) => [0xffbe + i, 59 + i] as const),
  [0xffc8, 87],
  [0xffc9, 88],
  // Shift, Control, Caps Lock, Meta, Alt, Super, and the third level's Shift
  [0xffe1, 42],
  [0xffe2, 54],
  [0xffe3, 29],
  [0xffe4, 97],
  [0xffe5, 58],
  [0xffe7, 125],
  [0xffe8, 126],
  [0xffe9, 56],
  [0xffea, 100],
  [0xffeb, 125],
  [0xffec, 126],
  [0xfe03, 100],
  [0xffff, 111],
];
for (const [keysym, code] of OTHERS) KEYS.set(keysym, { code, shift: undefined });

export const keyOf = (keysym: number): { code: number; shift: boolean | undefined } | undefined => KEYS.get(keysym);

export const SHIFT = { left: 42, right: 54 } as const;

/** A PC's scan codes behind 0xe0. */
const EXTENDED: Readonly<Record<number, number>> = {
  ...{ 0x1c: 96, 0x1d: 97, 0x35: 98, 0x37: 99, 0x38: 100, 0x46: 119, 0x47: 102, 0x48: 103, 0x49: 104, 0x4b: 105 },
  ...{ 0x4d: 106, 0x4f: 107, 0x50: 108, 0x51: 109, 0x52: 110, 0x53: 111, 0x5b: 125, 0x5c: 126, 0x5d: 127 },
};
const LAST = 0x58;
const NONE = new Set([0, 0x54, 0x55]);

/** Scan codes of set 1 are Linux' key codes, but for those behind 0xe0 (here with 0x80 set). */
export function codeOfScancode(scancode: number): number | undefined {
  if (scancode > 0xff) return undefined;
  if (scancode >= 0x80) return EXTENDED[scancode & 0x7f];
  return scancode <= LAST && !NONE.has(scancode) ? scancode : undefined;
}
