// Descriptions of devices that are a list of KEY=VALUE, with commas between. Pure.
import { ConfigError } from './syntax.ts';

export interface Pairs<K extends string> {
  given: Partial<Record<K, string>>;
  /** Says what is wrong about this description. */
  fail: (why: string) => never;
}

/** Blanks around keys and values do not count; a key that there is not, or twice, is a mistake. `shown`: the text without what nobody is to read. */
export function parsePairs<K extends string>(kind: string, text: string, keys: readonly K[], shown = text): Pairs<K> {
  const fail = (why: string): never => {
    throw new ConfigError([`${kind}: '${shown}': ${why}`]);
  };
  const given: Partial<Record<K, string>> = {};
  for (const part of text.split(',')) {
    if (part.trim() === '') continue;
    const at = part.indexOf('=');
    const key = keys.find((each) => each === part.slice(0, Math.max(at, 0)).trim());
    if (key === undefined) return fail(`nothing is known of '${part.split('=')[0]!.trim()}'.`);
    if (given[key] !== undefined) fail(`${key} is given twice.`);
    given[key] = part.slice(at + 1).trim();
  }
  return { given, fail };
}
