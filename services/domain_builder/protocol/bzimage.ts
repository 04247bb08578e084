/** Linux's bzImage: the x86 boot protocol's setup header and the compressed vmlinux behind it. */
import { BadImage, Window, hex } from './bytes.ts';
import { decompress, gunzipped } from './decompress.ts';
import { isElf } from './elf.ts';

// Offsets of the setup header: Linux Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header".
const SETUP_SECTS = 0x1f1;
const BOOT_FLAG = 0x1fe;
const HEADER = 0x202;
const VERSION = 0x206;
const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;
const HDRS = 0x53726448; // "HdrS"
/** Protocol 2.08 introduced the payload fields. */
const MIN_VERSION = 0x208;

export function isBzImage(bytes: Uint8Array): boolean {
  const file = new Window(bytes, '');
  return bytes.length >= HEADER + 4 && file.u16(BOOT_FLAG) === 0xaa55 && file.u32(HEADER) === HDRS;
}

/** Is there anything to unpack? */
export const isPacked = (file: Uint8Array): boolean => isBzImage(file) || (file[0] === 0x1f && file[1] === 0x8b);

/** The uncompressed kernel inside a bzImage; an ELF image is returned as it is. Either may be packed by gzip as a whole. */
export function extractElf(given: Uint8Array): Uint8Array {
  if (isElf(given)) return given;
  const image = gunzipped(given) ?? given;
  if (isElf(image)) return image;
  const file = new Window(image, 'the bzImage');
  if (image.length === 0) throw new BadImage('the kernel file is empty; give an ELF image or a bzImage.');
  if (!isBzImage(image))
    throw new BadImage('the kernel file is neither an ELF image nor a bzImage; give a kernel built for x86.');
  const version = file.u16(VERSION);
  if (version < MIN_VERSION)
    throw new BadImage(`the bzImage follows boot protocol ${hex(version)}; ${hex(MIN_VERSION)} or newer is needed.`);
  const payload = ((file.u8(SETUP_SECTS) || 4) + 1) * 512 + file.u32(PAYLOAD_OFFSET);
  const elf = decompress(file.slice(payload, file.u32(PAYLOAD_LENGTH)));
  if (!isElf(elf)) throw new BadImage('the payload of the bzImage is not an ELF image; fetch the file again.');
  return elf;
}
