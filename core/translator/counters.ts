// What the translator's half on a pCPU has counted, for --stats.
import {
  region_checks,
  region_declines,
  region_entries,
  region_installed,
  region_interprets,
  region_rejected,
  region_retired,
  region_targets,
} from './regions';

/** A counter by its number: see platform/regions.ts. */
export function region_count(i: i32): f64 {
  switch (i) {
    case 0:
      return <f64>region_installed;
    case 1:
      return <f64>region_rejected;
    case 2:
      return <f64>region_entries;
    case 3:
      return <f64>region_interprets;
    case 4:
      return <f64>region_targets;
    case 5:
      return <f64>region_declines;
    case 6:
      return <f64>region_retired;
    default:
      return <f64>region_checks;
  }
}
