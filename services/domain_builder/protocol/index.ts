/** The domain builder's public face. */
export { BadImage } from './bytes.ts';
export { isBzImage } from './bzimage.ts';
export { compactElf } from './compact.ts';
export { buildDomain } from './build.ts';
export type { DomainConfig, Plan, PvhContext, SegmentState, Write } from './build.ts';
export { parseElf } from './elf.ts';
export { extractElf } from './bzimage.ts';
export type { MapEntry, Range, SpecialPages } from './memory_map.ts';
