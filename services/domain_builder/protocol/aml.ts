/** A small encoder of ACPI Machine Language (ACPI 6.4, section 20): what a PVH guest's DSDT needs. */
import { concat, text, u8, zeros } from './bytes.ts';

type Aml = Uint8Array;

/** PkgLength counts itself (20.2.4): one byte up to 63, else a lead byte with four low bits and up to three more. */
function packageOf(body: Aml): Aml {
  const size = body.length;
  if (size + 1 < 64) return concat([u8(size + 1), body]);
  const extra = size + 2 < 1 << 12 ? 1 : size + 3 < 1 << 20 ? 2 : 3;
  const total = size + 1 + extra;
  const rest = Array.from({ length: extra }, (_, i) => (total >> (4 + 8 * i)) & 0xff);
  return concat([u8((extra << 6) | (total & 15), ...rest), body]);
}

/** A NameSeg of four characters, optionally after a root prefix. */
const path = (name: string): Aml => {
  const root = name.startsWith('\\') ? '\\' : '';
  return text(root + name.slice(root.length).padEnd(4, '_'));
};

export function integer(value: number): Aml {
  if (value === 0 || value === 1) return u8(value);
  return value < 256 ? u8(0x0a, value) : u8(0x0b, value & 0xff, value >> 8);
}

export const string = (value: string): Aml => concat([u8(0x0d), text(value), zeros(1)]);
export const buffer = (bytes: Uint8Array): Aml => concat([u8(0x11), packageOf(concat([integer(bytes.length), bytes]))]);
export const name = (label: string, value: Aml): Aml => concat([u8(0x08), path(label), value]);
export const scope = (label: string, ...body: Aml[]): Aml =>
  concat([u8(0x10), packageOf(concat([path(label), ...body]))]);

/** Processor(label, id, no P_BLK) */
export const processor = (label: string, id: number, ...body: Aml[]): Aml =>
  concat([u8(0x5b, 0x83), packageOf(concat([path(label), u8(id), zeros(4), u8(0), ...body]))]);
