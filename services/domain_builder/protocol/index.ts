/** The domain builder's public face. */
import { buildPvh, type DomainConfig, type PvhPlan } from './build.ts';
import { parseElf } from './elf.ts';
import { buildPv, type PvPlan } from './pv/build.ts';
import { isForPvh } from './pv/image.ts';
import { guestNotes } from './pv/notes.ts';

export { BadImage } from './bytes.ts';
export { isPacked } from './bzimage.ts';
export { compactElf } from './compact.ts';
export type { DomainConfig, PvhContext, PvhPlan, SegmentState, Write } from './build.ts';
export type { PvFinish, PvPlan } from './pv/build.ts';
export { parseElf } from './elf.ts';
export { extractElf } from './bzimage.ts';
export type { MapEntry, Range, SpecialPages } from './memory_map.ts';

export const GUEST_TYPES = ['pvh', 'pv'] as const;
export type GuestType = (typeof GUEST_TYPES)[number];
export type Plan = PvhPlan | PvPlan;

/** What a kernel, an ELF image, is started as where nobody says it: PV, Xen's default on x86, unless it can be a PVH guest alone. */
export const guestType = (image: Uint8Array): GuestType => (isForPvh(guestNotes(parseElf(image))) ? 'pvh' : 'pv');

/** What kind of guest a kernel is started as; PVH if nothing is said. */
export function buildDomain(config: DomainConfig & { readonly type?: 'pvh' }): PvhPlan;
export function buildDomain(config: DomainConfig & { readonly type?: GuestType }): Plan;
export function buildDomain(config: DomainConfig & { readonly type?: GuestType }): Plan {
  return config.type === 'pv' ? buildPv(config) : buildPvh(config);
}
