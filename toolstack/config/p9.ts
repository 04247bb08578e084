// A shared folder's description, as xl.cfg(5) has it; `access` is our own. Pure.
import { parsePairs } from './pairs.ts';
import { ConfigError } from './syntax.ts';

export interface P9Config {
  tag: string;
  /** Absolute. */
  path: string;
  readonly: boolean;
}

const MAX_SHARES = 32;
/** What Linux takes of a name to mount by. */
const MAX_TAG = 31;
const ACCESS: Readonly<Record<string, boolean>> = { ro: true, r: true, rw: false, w: false };

export function parseP9(text: string, absolute: (path: string) => string): P9Config {
  const { given, fail } = parsePairs('p9', text, ['tag', 'path', 'security_model', 'access', 'backend']);
  const { tag, path, security_model: model, access = 'rw', backend } = given;
  if (backend !== undefined && backend !== '0' && backend !== 'Domain-0')
    fail(`folders are shared by the host, not by domain '${backend}': leave backend out.`);
  if (!tag || tag.length > MAX_TAG || !/^[\x21-\x7e]+$/.test(tag))
    return fail(`tag= is missing or none: it is 1 to ${MAX_TAG} printable characters, by which the guest mounts it.`);
  if (!path) return fail('no path: name the folder by path=.');
  if (model !== undefined && model !== 'none') fail(`security_model is none, not '${model}'.`);
  if (ACCESS[access] === undefined) fail(`access is ro or rw, not '${access}'.`);
  return { tag, path: absolute(path), readonly: ACCESS[access]! };
}

/** So many, and no two with one tag. */
export function checkP9s(shares: readonly P9Config[]): void {
  if (shares.length > MAX_SHARES) throw new ConfigError([`p9: a guest has ${MAX_SHARES} shared folders at most.`]);
  const tags = shares.map(({ tag }) => tag);
  const twice = tags.find((tag, i) => tags.indexOf(tag) !== i);
  if (twice !== undefined) throw new ConfigError([`p9: two folders have the tag ${twice}.`]);
}

/** One that came over a socket. */
export function isP9(given: unknown): given is P9Config {
  const p = given as Partial<P9Config> | null;
  if (typeof p !== 'object' || p === null || typeof p.readonly !== 'boolean') return false;
  return typeof p.tag === 'string' && /^[\x21-\x7e]{1,31}$/.test(p.tag) && typeof p.path === 'string' && p.path.startsWith('/'); // prettier-ignore
}
