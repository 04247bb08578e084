/** Single files of a Debian package. */
import type { Readable } from 'node:stream';
import { ImageError, start } from './apt.ts';
import { untar } from './tar.ts';

/** The files of a package that `wanted` names, in that order, or an error that names what is missing. */
export async function unpack(deb: string, wanted: RegExp[]): Promise<{ path: string; content: Uint8Array }[]> {
  const found: { path: string; content: Uint8Array }[] = [];
  const { child, ended } = start('dpkg-deb', ['--fsys-tarfile', deb], { piped: true });
  for await (const entry of untar(child.stdout as Readable, (path) => wanted.some((pattern) => pattern.test(path)))) {
    if (entry.type === '0') found.push(entry);
    if (found.length === wanted.length) break; // the kernel's modules, most of the package, come after it
  }
  if (found.length < wanted.length) await ended;
  // The rest is not read: what still writes it ends at the closed pipe.
  for (const stream of child.stdio) stream?.destroy();
  return wanted.map((pattern) => {
    const file = found.find(({ path }) => pattern.test(path));
    if (!file) throw new ImageError(`${deb} has no file like ${pattern.source}.`);
    return file;
  });
}
