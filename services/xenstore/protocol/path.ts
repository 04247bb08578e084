// Path rules of docs/misc/xenstore.txt: absolute paths, a restricted alphabet, lengths bounded per kind.
import { XsError } from './wire.ts';

export const ABS_PATH_MAX = 3072;
export const REL_PATH_MAX = 2048;

export const domainPath = (domid: number): string => `/local/domain/${domid}`;

const COMPONENTS = /^(?:\/|(?:\/[A-Za-z0-9\-_@]+)+)$/;
const OWN_PREFIX = /^\/local\/domain\/\d{1,5}\//;

/** Special events watched instead of a node, optionally narrowed to one domain. */
const SPECIAL = /^@(?:introduceDomain|releaseDomain)(?:\/(?:0|[1-9]\d{0,4}))?$/;
export const isSpecial = (path: string): boolean => SPECIAL.test(path);

/** `pathMax` (a quota) bounds what follows /local/domain/N/, so a domain id's digits cost nothing. */
export function isValidPath(path: string, pathMax = ABS_PATH_MAX): boolean {
  if (path.length > ABS_PATH_MAX || !COMPONENTS.test(path)) return false;
  if (path.length <= pathMax) return true;
  const prefix = OWN_PREFIX.exec(path)?.[0].length ?? 0;
  return path.length <= prefix + pathMax;
}

/** The absolute form of a path as a connection under `base` names it. */
export function canonicalise(path: string, base: string, pathMax?: number): string {
  let absolute = path;
  if (!path.startsWith('/')) {
    if (path.startsWith('@') || path.length > REL_PATH_MAX) throw new XsError('EINVAL', 'bad path');
    absolute = `${base}/${path}`;
  }
  if (!isValidPath(absolute, pathMax)) throw new XsError('EINVAL', 'bad path');
  return absolute;
}

export function parentOf(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash <= 0 ? '/' : path.slice(0, slash);
}

export const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
export const childOf = (path: string, name: string): string => (path === '/' ? `/${name}` : `${path}/${name}`);
export const componentsOf = (path: string): string[] => (path === '/' ? [] : path.slice(1).split('/'));
