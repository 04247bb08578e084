// Files that the command line names for output: checked before a run that would end in vain.
import { accessSync, constants, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { codeOf } from '../toolstack/files.ts';
import { UsageError } from './options.ts';

/** A file or a port of ours that cannot be had after all. */
export class Unavailable extends Error {}

/** That a file can be written is asked before the guest starts, not after its hours. */
export function checkOutput(option: string, path: string): void {
  try {
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) throw Object.assign(new Error(), { code: 'EISDIR' });
    try {
      accessSync(path, constants.W_OK);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
      accessSync(dirname(path), constants.W_OK);
    }
  } catch (error) {
    const code = codeOf(error);
    const why = code === 'EISDIR' ? 'it is a folder' : code === 'ENOENT' ? 'there is no such folder' : code;
    throw new UsageError(`--${option} ${path} cannot be written (${why}): name a file in a folder that can be.`);
  }
}
