// A domain's shared folders, opened before it is made.
import { canShare, Folder } from '../../services/p9/backend/folder.ts';
import type { ShareOptions } from '../../services/xenops/shares.ts';
import type { P9Config } from '../config/p9.ts';
import { ERROR, Refused } from '../control/refused.ts';

const WHY: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such folder',
  ENOTDIR: 'that is no folder',
  EACCES: 'the host may not enter it',
};

/** All or none. */
export async function openShares(configs: readonly P9Config[]): Promise<ShareOptions[]> {
  if (configs.length > 0 && !canShare())
    throw new Refused('p9: sharing folders needs Linux with /proc: files are confined by their descriptors.');
  const opened: ShareOptions[] = [];
  for (const [devid, { tag, path, readonly }] of configs.entries()) {
    try {
      opened.push({ devid, tag, path, readonly, folder: await Folder.open(path) });
    } catch (error) {
      await closeShares(opened);
      const { code = '', message } = error as NodeJS.ErrnoException;
      throw new Refused(`p9 ${tag}: ${path}: ${WHY[code] ?? message}.`, ERROR.FAIL);
    }
  }
  return opened;
}

/** Of which no device was made. */
export async function closeShares(shares: readonly ShareOptions[]): Promise<void> {
  await Promise.all(shares.map(({ folder }) => folder.close()));
}
