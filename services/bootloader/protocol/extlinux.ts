/** extlinux, isolinux and syslinux: labels with a kernel, its arguments and initrds. */
import { fail } from './disk.ts';
import { folderOf, type Choice, type Entry, type Menu } from './menu.ts';
import type { Tree } from './tree.ts';

const MAX_INCLUDES = 16;
const MAX_CONFIG = 1 << 20;
const MAX_LABELS = 1000;

interface Label {
  name: string;
  title?: string;
  kernel?: string;
  initrds: string[];
  args: string;
}

export function extlinuxMenu(text: string, tree: Tree, path: string): Menu {
  const labels: Label[] = [];
  let standard = '';
  let included = 0;
  /** Arguments for labels that have none of their own. */
  let common = '';
  const folder = folderOf(path);
  const absolute = (file: string): string => (file.startsWith('/') ? file : `${folder}/${file}`);

  const read = (source: string): void => {
    for (const line of source.split(/\r?\n/)) {
      const [, key = '', rest = ''] = /^\s*(\S+)\s*(.*?)\s*$/.exec(line) ?? [];
      const label = labels.at(-1);
      switch (key.toLowerCase()) {
        case 'default':
          standard = rest;
          break;
        case 'label':
          if (labels.length >= MAX_LABELS) fail('it has too many labels');
          labels.push({ name: rest, initrds: [], args: '' });
          break;
        case 'menu':
          if (label && /^label\s/i.test(rest)) label.title = rest.replace(/^label\s+/i, '').replaceAll('^', '');
          else if (label && /^default$/i.test(rest)) standard = label.name;
          else if (/^include\s/i.test(rest)) include(rest.replace(/^include\s+/i, '').split(/\s/)[0]!);
          break;
        case 'include':
          include(rest);
          break;
        case 'kernel':
        case 'linux':
          if (label) label.kernel = rest;
          break;
        case 'initrd':
          if (label) label.initrds = rest.split(',').filter(Boolean);
          break;
        case 'append':
          if (!label) common = rest;
          else label.args = rest;
          break;
      }
    }
  };
  const include = (file: string): void => {
    if (++included > MAX_INCLUDES) fail('it includes too many files');
    const bytes = tree.read(absolute(file), MAX_CONFIG);
    if (bytes) read(Buffer.from(bytes).toString());
  };
  read(text);

  const entries: Entry[] = labels
    .filter(({ kernel }) => kernel !== undefined)
    .map((label, i) => ({
      title: label.title ?? label.name,
      id: label.name,
      place: [i],
      choose: () => choice(label, common, absolute),
    }));
  return { entries, standard };
}

/** A kernel's arguments may name its initrds; `-` alone means none, not even the common ones. */
function choice(label: Label, common: string, absolute: (file: string) => string): Choice {
  const words = (label.args === '' ? common : label.args === '-' ? '' : label.args).split(/\s+/).filter(Boolean);
  const named = words.filter((word) => word.startsWith('initrd='));
  const initrds = [...label.initrds, ...named.flatMap((word) => word.slice('initrd='.length).split(','))];
  return {
    kernel: absolute(label.kernel!),
    initrds: [...new Set(initrds.filter(Boolean).map(absolute))],
    args: words.filter((word) => !word.startsWith('initrd=')).join(' '),
  };
}
