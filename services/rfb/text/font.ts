// A console font in the PSF1 format: glyphs of 8 columns, and which characters they stand for. Pure.
const MAGIC = 0x0436;
const MODE = { GLYPHS_512: 1, TABLE: 2 };
const END = 0xffff;
const SEQUENCE = 0xfffe;
export const GLYPH_WIDTH = 8;

export class Font {
  readonly height: number;
  readonly #glyphs: Uint8Array;
  readonly #index = new Map<number, number>();

  constructor(file: Uint8Array) {
    const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
    if (view.getUint16(0, true) !== MAGIC) throw new Error('this is no PSF1 font');
    const count = view.getUint8(2) & MODE.GLYPHS_512 ? 512 : 256;
    this.height = view.getUint8(3);
    const end = 4 + count * this.height;
    this.#glyphs = file.subarray(4, end);
    if (!(view.getUint8(2) & MODE.TABLE)) throw new Error('this font does not say what its glyphs are');
    let glyph = 0;
    let sequence = false;
    for (let at = end; at + 2 <= file.length && glyph < count; at += 2) {
      const unit = view.getUint16(at, true);
      if (unit === END) [glyph, sequence] = [glyph + 1, false];
      else if (unit === SEQUENCE) sequence = true;
      else if (!sequence && !this.#index.has(unit)) this.#index.set(unit, glyph);
    }
  }

  /** A byte a row, the left pixel in the highest bit; what the font does not have is a question mark. */
  glyph(character: number): Uint8Array {
    const i = this.#index.get(character) ?? this.#index.get(0x3f) ?? 0;
    return this.#glyphs.subarray(i * this.height, (i + 1) * this.height);
  }
}
