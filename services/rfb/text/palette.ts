// A terminal's 256 colours: the sixteen of a PC's text screen, a cube of six steps, and greys. Pure.
const PC = [
  ...[0x000000, 0xaa0000, 0x00aa00, 0xaa5500, 0x0000aa, 0xaa00aa, 0x00aaaa, 0xaaaaaa],
  ...[0x555555, 0xff5555, 0x55ff55, 0xffff55, 0x5555ff, 0xff55ff, 0x55ffff, 0xffffff],
];
const STEPS = [0, 95, 135, 175, 215, 255];
const CUBE = 16;
const GREYS = 232;

export function paletteColour(index: number): number {
  if (index < CUBE) return PC[index] ?? 0;
  if (index >= GREYS) return (8 + 10 * (index - GREYS)) * 0x010101;
  const n = index - CUBE;
  return (STEPS[Math.floor(n / 36)]! << 16) | (STEPS[Math.floor(n / 6) % 6]! << 8) | STEPS[n % 6]!;
}
