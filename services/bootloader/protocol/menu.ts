/** What a boot loader's configuration offers, and how one of its entries is chosen. */
import { fail } from './disk.ts';
import type { Tree } from './tree.ts';

/** What an entry starts; paths as in the configuration. */
export interface Choice {
  readonly kernel: string;
  readonly initrds: readonly string[];
  readonly args: string;
}

export interface Entry {
  readonly title: string;
  readonly id?: string | undefined;
  /** Its place among nested menus, one number a level. */
  readonly place: readonly number[];
  /** Titles of the menus around it. */
  readonly menus?: readonly string[];
  /** Undefined: it starts no Linux-like kernel. */
  choose(): Choice | undefined;
}

export interface Menu {
  readonly entries: readonly Entry[];
  /** What the configuration says is the default: a number, a title, an id, or those in nested menus with `>` between. */
  readonly standard: string;
}

/** Reads a configuration that lies at `path` of `tree`. */
export type ReadMenu = (text: string, tree: Tree, path: string) => Menu;

export const folderOf = (path: string): string => path.slice(0, path.lastIndexOf('/'));

const names = (entry: Entry): string[] => [entry.title, ...(entry.id === undefined ? [] : [entry.id])];

/** By a menu's own words, undefined: there is no such entry. */
function byWords(entries: readonly Entry[], wanted: string): Entry | undefined {
  const parts = wanted.split('>').map((part) => part.trim());
  const numbers = parts.map((part) => (/^\d{1,6}$/.test(part) ? Number(part) : undefined));
  if (numbers.every((n) => n !== undefined)) {
    const exact = entries.find(
      ({ place }) => place.length === numbers.length && place.every((n, i) => n === numbers[i]),
    );
    // The number of a nested menu is that of its first entry.
    return exact ?? entries.find(({ place }) => numbers.every((n, i) => place[i] === n));
  }
  const last = parts.at(-1)!;
  const inside = (entry: Entry): boolean => {
    const menus = entry.menus ?? [];
    return parts
      .slice(0, -1)
      .every((part, i) => (numbers[i] === undefined ? menus[i] === part : entry.place[i] === numbers[i]));
  };
  const n = numbers.at(-1);
  return entries.find(
    (e) => inside(e) && (n === undefined ? names(e).includes(last) : e.place[parts.length - 1] === n),
  );
}

/** `wanted`: what a person asks for: an entry's number from 0 over all menus, its title or its id. */
export function choose({ entries, standard }: Menu, wanted: string | undefined): Entry {
  if (entries.length === 0) fail('its menu is empty');
  if (wanted !== undefined) {
    const found = /^\d{1,6}$/.test(wanted) ? entries[Number(wanted)] : byWords(entries, wanted);
    return found ?? fail(`it has no entry '${wanted}'; there are ${titles(entries)}`);
  }
  return byWords(entries, standard) ?? entries[0]!;
}

const SHOWN = 8;
export function titles(entries: readonly Entry[]): string {
  const shown = entries.slice(0, SHOWN).map(({ title }, i) => `${i} '${printable(title)}'`);
  return shown.join(', ') + (entries.length > SHOWN ? ', …' : '');
}

/** Text from a disk, as it may stand in a sentence. */
export const printable = (text: string): string => text.replace(/[^\x20-\x7e\xa0-\uffff]/g, '?').slice(0, 80);

/** A path without the device that GRUB writes before it: `(hd0,msdos1)/vmlinuz`, `($root)/vmlinuz`. */
export const withoutDevice = (path: string): string => path.replace(/^\([^)]*\)/, '');

/** Where several are loaded one behind the other, or what a hypervisor would have been given. */
export function modules(
  kernel: string | undefined,
  list: readonly { path: string; args: string }[],
): Choice | undefined {
  if (kernel === undefined) return undefined;
  const [first, ...rest] = list;
  if (!first) return undefined;
  return { kernel: first.path, args: first.args, initrds: rest.map(({ path }) => path) };
}
