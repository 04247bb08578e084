// Unix sockets that only this user may open, from their first moment on.
import { chmodSync, linkSync, mkdtempSync, rmSync } from 'node:fs';
import { connect, type Server } from 'node:net';
import { dirname, join } from 'node:path';

/** What the system allows a socket's path (macOS; Linux has 4 more). */
const PATH_MAX = 103;

const systemError = (code: string, message: string): Error => Object.assign(new Error(message), { code });

/** Whether somebody answers on the socket at `path`; a file that nobody answers on is left over from a process that was killed. */
export function isAlive(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

/** The file appears under its name with its final mode: it is made in a folder that nobody else may enter. Rejects with EADDRINUSE if something is there. */
export async function listenPrivately(server: Server, path: string): Promise<void> {
  const spare = '.XXXXXX/s'.length;
  if (Buffer.byteLength(join(dirname(path), 's')) + spare > PATH_MAX || Buffer.byteLength(path) > PATH_MAX)
    throw systemError('ENAMETOOLONG', `the path of a socket holds about ${PATH_MAX - spare} bytes: ${path}`);
  const folder = mkdtempSync(join(dirname(path), '.'));
  try {
    const made = join(folder, 's');
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(made, resolve);
    });
    server.removeAllListeners('error');
    chmodSync(made, 0o600);
    linkSync(made, path);
  } catch (error) {
    server.close();
    if ((error as NodeJS.ErrnoException).code === 'EEXIST')
      throw systemError('EADDRINUSE', `something is at ${path} already`);
    throw error;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
