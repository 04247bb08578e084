import { layering } from './layering.ts';
import { repository } from './repository.ts';
import { trackedSources } from './sources.ts';

/** Runs the rules over the repository; true when all hold. */
export function lint(): boolean {
  const sources = trackedSources();
  const findings = [...layering(sources), ...repository(sources)];
  for (const { path, line, rule, message } of findings) console.error(`${path}:${line}: ${rule}: ${message}`);
  return findings.length === 0;
}
