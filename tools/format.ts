// Prettier over the repository. AssemblyScript in `core/` decorates functions, which is no TypeScript: there the
// decorators become comments for the time of formatting, and are put back in place.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as prettier from 'prettier';
import { ROOT } from '../bin/setup.cjs';
import { trackedFiles } from './lint/sources.ts';

const DECORATOR = /@(inline|unmanaged|final|lazy|unsafe|external(?:\.js)?(?:\([^()]*\))?|operator\([^()]*\))(?=\s)/g;

const hide = (text: string): string => text.replace(DECORATOR, '/*@$1*/');
const show = (text: string): string => text.replace(/\/\*(@[^*]*)\*\//g, '$1');

/** One file's text as it should be; undefined when prettier has nothing to do with it. */
export async function formatted(path: string, text: string): Promise<string | undefined> {
  const file = join(ROOT, path);
  const { ignored, inferredParser } = await prettier.getFileInfo(file, { ignorePath: join(ROOT, '.prettierignore') });
  if (ignored || !inferredParser) return undefined;
  const options = { ...(await prettier.resolveConfig(file)), filepath: file };
  if (!path.startsWith('core/') || path.endsWith('.test.ts')) return await prettier.format(text, options);
  // TypeScript's own parser takes `<< (<u64>x)` for type arguments.
  return show(await prettier.format(hide(text), { ...options, parser: 'babel-ts' }));
}

/** Formats every file, or only names those that would change (`write` false); true when none would. */
export async function format(write: boolean): Promise<boolean> {
  let clean = true;
  for (const path of trackedFiles()) {
    const text = readFileSync(join(ROOT, path), 'utf8');
    try {
      const wanted = await formatted(path, text);
      if (wanted === undefined || wanted === text) continue;
      if (write) writeFileSync(join(ROOT, path), wanted);
      else clean = false;
      console.error(`${path}: ${write ? 'formatted' : 'not as `node bin/task format` would have it'}`);
    } catch (error) {
      clean = false;
      console.error(`${path}: ${(error as Error).message}`);
    }
  }
  return clean;
}
