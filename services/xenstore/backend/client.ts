// A program's connection to a store on a unix socket, ours or xenstored's.
import { once } from 'node:events';
import { connect } from 'node:net';
import { AsyncClient } from '../protocol/async_client.ts';
import { XsError } from '../protocol/wire.ts';

/** Where libxenstore looks for the socket. */
export function socketPath(env: Readonly<Record<string, string | undefined>> = process.env): string {
  return env['XENSTORED_PATH'] ?? `${env['XENSTORED_RUNDIR'] ?? '/var/run/xenstored'}/socket`;
}

/** Rejects with the system's error (ENOENT, ECONNREFUSED, EACCES) if nobody can be reached there. */
export async function connectStore(path = socketPath()): Promise<AsyncClient> {
  const socket = connect(path);
  await once(socket, 'connect');
  const client = new AsyncClient(
    (bytes) => socket.write(bytes),
    () => socket.destroy(),
  );
  socket.on('data', (bytes: Buffer) => client.receive(bytes));
  socket.on('error', () => {}); // followed by close
  socket.on('close', () => client.fail(new XsError('EIO', 'the store has closed the connection')));
  return client;
}
