// Permissions: a list of (access, domid). The first entry names the owner, and its access is everybody's who is not listed.
import { XsError } from './wire.ts';

export const READ = 1;
export const WRITE = 2;
export const OWNER = 4;

const LETTERS = 'nrwb'; // index = READ | WRITE bits

export interface Perm {
  readonly access: number;
  readonly domid: number;
  /** The named domain is gone: the id may come back as another domain, which must not inherit this entry. */
  readonly stale?: boolean;
}
export type Perms = readonly Perm[];

export function parsePerm(text: string): Perm {
  const match = /^([nrwb])(\d{1,5}|0x[0-9a-f]{1,4})$/.exec(text);
  const domid = match ? Number(match[2]) : NaN;
  if (!match || domid > 0xffff) throw new XsError('EINVAL', 'bad permission');
  return { access: LETTERS.indexOf(match[1]!), domid };
}

export const formatPerm = (perm: Perm): string => LETTERS[perm.access & (READ | WRITE)]! + perm.domid;
export const ownerOf = (perms: Perms): number => perms[0]!.domid;
export const ownedBy = (domid: number): Perms => [{ access: 0, domid }];

/** Who asks: dom0 and its tools pass everything; `target` is the domain a device model acts for (SET_TARGET). */
export interface Subject {
  readonly domid: number;
  readonly privileged: boolean;
  readonly target?: number | undefined;
}

/** What `subject` may do; `isLive` tells whether an entry still names the domain it was given to. The first match decides. */
export function accessFor(subject: Subject, perms: Perms, isLive: (perm: Perm) => boolean): number {
  const mine = (domid: number) => domid === subject.domid || domid === subject.target;
  if (subject.privileged || mine(ownerOf(perms))) return READ | WRITE | OWNER;
  for (let i = 1; i < perms.length; i++) {
    if (mine(perms[i]!.domid) && isLive(perms[i]!)) return perms[i]!.access;
  }
  return perms[0]!.access;
}
