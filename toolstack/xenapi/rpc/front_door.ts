/**
 * Looks at how a connection begins: most are HTTP's, but `POST /cli` opens a conversation that has no HTTP answer, and node:http
 * would take what comes then for the next request.
 */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';

/** So long a client may take until it is known what it wants. */
const FIRST_MS = 20_000;

export interface Door {
  /** What a connection begins with. */
  begins: string;
  take(socket: Socket, first: Buffer): void;
}

/** The door that fits, `undefined` if none does, `more` if that is not known yet. */
export function choose(doors: readonly Door[], first: Buffer): Door | undefined | 'more' {
  const text = first.toString('latin1', 0, 64);
  let open: undefined | 'more';
  for (const door of doors) {
    if (text.startsWith(door.begins)) return door;
    if (door.begins.startsWith(text)) open = 'more';
  }
  return open;
}

/** Stands before a server that listens to `event`. The sockets that it has not handed on yet are in `waiting`. */
export function standBefore(
  server: Server,
  event: 'connection' | 'secureConnection',
  doors: readonly Door[],
  waiting: Set<Socket>,
): void {
  const handOn = server.listeners(event) as ((socket: Socket) => void)[];
  server.removeAllListeners(event);
  server.on(event, (socket: Socket) => {
    let first = Buffer.alloc(0);
    const timer = setTimeout(() => socket.destroy(), FIRST_MS);
    const left = (): void => {
      clearTimeout(timer);
      waiting.delete(socket);
    };
    const failed = (): void => void socket.destroy();
    const look = (bytes: Buffer): void => {
      first = Buffer.concat([first, bytes]);
      const door = choose(doors, first);
      if (door === 'more') return;
      left();
      socket.off('data', look);
      socket.off('close', left);
      socket.off('error', failed);
      socket.pause();
      if (door) return door.take(socket, first);
      socket.unshift(first);
      for (const each of handOn) each.call(server, socket);
      process.nextTick(() => socket.resume());
    };
    waiting.add(socket);
    socket.on('close', left);
    socket.on('error', failed);
    socket.on('data', look);
  });
}
