// What a pCPU has counted of its regions, where the control thread can read it: for --stats.
import { PCPU_COUNTERS } from '../engine/layout';
import { pcpu_area } from '../shared/pcpu';
import { AREA_EMPTY, AREA_FAILED, AREA_POSTED, translator_area } from './layout';

/** u64 each; platform/regions.ts has the same names in the same order. */
@unmanaged
export class RegionCounters {
  /** Translations that are in use, and those that came too late or for which there was no room. */
  installed: u64;
  rejected: u64;
  /** Regions whose code was written. */
  dead: u64;
  /** Regions that were run. They end where the interpreter has to run one instruction, at an indirect branch, or at their border. */
  entries: u64;
  interprets: u64;
  targets: u64;
  /** Entries that were passed by: other pages are mapped there than were translated, or the slice is nearly used. */
  declines: u64;
  limits: u64;
  /** Regions whose pages were looked at anew before they ran. */
  checks: u64;
  /** Instructions retired in regions. */
  retired: u64;
}

export function region_counters(area: usize): RegionCounters {
  return changetype<RegionCounters>(area + PCPU_COUNTERS);
}

/** A pCPU's counter by its number. */
export function region_count(pcpu: u32, i: u32): f64 {
  return <f64>load<u64>(pcpu_area(pcpu) + PCPU_COUNTERS + ((<usize>i) << 3));
}

/** What became of the requests for translations: 0 = how many there were, 1 = with nothing to translate, 2 = failed. */
export function translator_count(i: u32): u32 {
  return atomic.load<u32>(translator_area() + (i == 0 ? AREA_POSTED : i == 1 ? AREA_EMPTY : AREA_FAILED));
}
