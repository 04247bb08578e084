/** GRUB's older form, menu.lst or grub.conf: titles with a kernel line, an initrd line, or modules of a hypervisor. */
import { fail } from './disk.ts';
import { folderOf, modules, withoutDevice, type Choice, type Entry, type Menu } from './menu.ts';
import type { Tree } from './tree.ts';

const MAX_TITLES = 1000;
const MAX_DEFAULT_FILE = 4096;

interface Title {
  title: string;
  kernel?: { path: string; args: string };
  initrd?: string;
  modules: { path: string; args: string }[];
}

const split = (rest: string): { path: string; args: string } => {
  // Options of the command itself stand before the path.
  const [, path = '', args = ''] = /^(?:--\S+\s+)*(\S*)\s*(.*?)\s*$/.exec(rest) ?? [];
  return { path: withoutDevice(path), args };
};

export function legacyMenu(text: string, tree: Tree, path: string): Menu {
  const titles: Title[] = [];
  let standard = '0';
  for (const line of text.split(/\r?\n/)) {
    const [, key = '', rest = ''] = /^\s*([^\s=#]+)(?:\s*=\s*|\s+)(.*?)\s*$/.exec(line) ?? [];
    const current = titles.at(-1);
    switch (key.toLowerCase()) {
      case 'default':
        standard = rest;
        break;
      case 'title':
        if (titles.length >= MAX_TITLES) fail('it has too many titles');
        titles.push({ title: rest, modules: [] });
        break;
      case 'kernel':
        if (current) current.kernel = split(rest);
        break;
      case 'initrd':
        if (current) current.initrd = split(rest).path;
        break;
      case 'module':
        if (current) current.modules.push(split(rest));
        break;
    }
  }
  if (standard === 'saved') standard = saved(tree, folderOf(path));
  const entries: Entry[] = titles.map((title, i) => ({ title: title.title, place: [i], choose: () => choice(title) }));
  return { entries, standard };
}

/** The number that `savedefault` left in a file of its own. */
function saved(tree: Tree, folder: string): string {
  const bytes = tree.read(`${folder}/default`, MAX_DEFAULT_FILE);
  return (bytes && /^\d+/.exec(Buffer.from(bytes).toString('latin1'))?.[0]) ?? '0';
}

function choice({ kernel, initrd, modules: list }: Title): Choice | undefined {
  if (list.length > 0) return modules(kernel?.path, list);
  return kernel && { kernel: kernel.path, args: kernel.args, initrds: initrd === undefined ? [] : [initrd] };
}
