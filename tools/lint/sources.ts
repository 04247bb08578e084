// The files the repository's rules look at.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../bin/setup.cjs';

export interface Source {
  /** relative to the repository, with `/` */
  path: string;
  text: string;
}

export interface Finding {
  path: string;
  line: number;
  rule: string;
  message: string;
}

/** Tracked and new files that git does not ignore. */
export function trackedFiles(): string[] {
  const list = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: ROOT });
  const isFile = (name: string) => existsSync(join(ROOT, name)) && statSync(join(ROOT, name)).isFile();
  return list.toString().split('\0').filter((name) => name !== '' && isFile(name)).sort(); // prettier-ignore
}

/** Text files among them: those without a zero byte. */
export function trackedSources(): Source[] {
  return trackedFiles()
    .map((path) => ({ path, bytes: readFileSync(join(ROOT, path)) }))
    .filter(({ bytes }) => !bytes.includes(0))
    .map(({ path, bytes }) => ({ path, text: bytes.toString('utf8') }));
}
