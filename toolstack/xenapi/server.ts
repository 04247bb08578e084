/** A whole API server: its folder, the database in it, users, certificate and listeners. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, realpathSync, rmSync, watch, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { openDatabase } from './database/open.ts';
import { certificateOf, served } from './rpc/certificate.ts';
import { HttpServer } from './rpc/http.ts';
import { ROOT, Users } from './session/users.ts';
import { makeTemplates } from './VM/templates.ts';
import { urlOf, Xapi } from './xapi.ts';
import type { Xenops } from './xenops/xenops.ts';

export const xenapiPaths = (state: string) => ({
  folder: join(state, 'xenapi'),
  database: join(state, 'xenapi', 'database'),
  users: join(state, 'xenapi', 'users.json'),
  /** root's first password, for who may read the host's folder. */
  password: join(state, 'xenapi', 'root.password'),
  socket: join(state, 'xenapi.sock'),
  /** Folder of all SRs. */
  storage: join(state, 'xenapi', 'sr'),
  /** Bytes that clients keep beside objects. */
  blobs: join(state, 'xenapi', 'blobs'),
  /** Kernels that VMs may name. */
  boot: join(state, 'xenapi', 'boot'),
  /** Disk images that templates begin with. */
  images: join(state, 'xenapi', 'images'),
});

export interface ServerOptions {
  /** The host's folder. */
  state: string;
  xenops: Xenops;
  log: (text: string) => void;
  version: string;
  /** Where to listen by TLS, and without; nowhere if undefined. */
  tls?: { host: string; port: number };
  plain?: { host: string; port: number };
}

export interface Server {
  xapi: Xapi;
  /** Undefined where nothing listens. */
  tlsPort: number | undefined;
  plainPort: number | undefined;
  close(): Promise<void>;
}

/** An address that others can reach, of whoever listens on all. */
function reachable(host: string): string {
  if (host !== '0.0.0.0' && host !== '::') return host;
  const all = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  return all.find(({ internal, family }) => !internal && family === 'IPv4')?.address ?? '127.0.0.1';
}

async function usersOf(state: string): Promise<Users> {
  const { users: path, password } = xenapiPaths(state);
  const users = new Users(path);
  if (!users.has(ROOT)) {
    const made = randomBytes(12).toString('base64url');
    writeFileSync(password, `${made}\n`, { mode: 0o600 });
    await users.setPassword(ROOT, made);
  }
  // What the file says is true no more.
  users.onChange = (name) => {
    if (name === ROOT) rmSync(password, { force: true });
  };
  return users;
}

/** Kernels that are copied or removed while the host runs; a copy takes a while. */
const SETTLED_MS = 300;

function watchKernels(folder: string, changed: () => void): () => void {
  let timer: NodeJS.Timeout | undefined;
  const watcher = watch(folder, { persistent: false }, () => {
    clearTimeout(timer);
    timer = setTimeout(changed, SETTLED_MS).unref();
  });
  // The folder may go, or the system may have no watches left: the next start looks again.
  watcher.on('error', () => watcher.close());
  return () => {
    clearTimeout(timer);
    watcher.close();
  };
}

export async function serve({ state, xenops, log, version, tls, plain }: ServerOptions): Promise<Server> {
  const paths = xenapiPaths(state);
  for (const path of [paths.folder, paths.boot, paths.images, paths.storage])
    mkdirSync(path, { recursive: true, mode: 0o700 });
  const users = await usersOf(state);
  const certificate = await certificateOf(paths.folder);
  const db = openDatabase(paths.database);
  const address = reachable((tls ?? plain)?.host ?? '127.0.0.1');
  const xapi = new Xapi({
    db,
    users,
    xenops,
    log,
    version,
    address,
    certificate,
    storage: realpathSync(paths.storage),
    blobs: paths.blobs,
    folder: paths.folder,
    images: { disks: paths.images, kernels: paths.boot },
  });
  await xapi.storage.recover();
  const http = new HttpServer(xapi);
  const unwatch = watchKernels(paths.boot, () => makeTemplates(xapi, xapi.images!));
  const close = async (): Promise<void> => {
    unwatch();
    await http.close();
    await xapi.close();
  };
  try {
    await http.listen({ path: paths.socket });
    const tlsPort = tls && (await http.listen({ ...tls, tls: served(certificate) }));
    const plainPort = plain && (await http.listen(plain));
    if (tlsPort !== undefined) xapi.url = urlOf('https', address, tlsPort);
    else if (plainPort !== undefined) xapi.url = urlOf('http', address, plainPort);
    await xapi.nbd.offer((tls ?? plain)?.host ?? '127.0.0.1');
    await db.durable();
    return { xapi, tlsPort, plainPort, close };
  } catch (error) {
    await close();
    throw error;
  }
}
