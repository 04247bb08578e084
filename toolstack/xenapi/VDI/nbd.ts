/** Disks over NBD, for reading: on networks whose purpose is that, under names that contain a session. */
import { X509Certificate } from 'node:crypto';
import type { DiskImage } from '../../../services/block/image/image.ts';
import { NbdServer, type OpenExport } from '../../../services/nbd/backend/server.ts';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import { assertMay } from '../http/credentials.ts';
import { served, type Certificate } from '../rpc/certificate.ts';
import type { Session } from '../session/sessions.ts';
import type { Xapi } from '../xapi.ts';

/** Where NBD clients expect it (IANA's number); another one where that is taken. */
const PORT = 10809;

interface Shared {
  image: Promise<DiskImage>;
  users: number;
  release: () => void;
}

export class Nbd {
  readonly #xapi: Xapi;
  #host: string | undefined;
  #server: NbdServer | undefined;
  #updating: Promise<void> = Promise.resolve();
  readonly #shared = new Map<Row, Shared>();

  constructor(xapi: Xapi) {
    this.#xapi = xapi;
  }

  /** Where to listen, once there is a network for it. */
  offer(host: string): Promise<void> {
    this.#host = host;
    return this.update();
  }

  #networks(): Row[] {
    return [...this.#xapi.db.table('network').values()].filter((row) =>
      row.refs('purpose').some((each) => each === 'nbd' || each === 'insecure_nbd'),
    );
  }

  #insecure(): boolean {
    return this.#networks().some((row) => row.refs('purpose').includes('insecure_nbd'));
  }

  /** Networks have been given the purpose, or lost it. */
  update(): Promise<void> {
    this.#updating = this.#updating.catch(() => {}).then(() => this.#update());
    return this.#updating;
  }

  async #update(): Promise<void> {
    const wanted = this.#host !== undefined && this.#networks().length > 0;
    if (!wanted) {
      const server = this.#server;
      this.#server = undefined;
      await server?.close();
    } else if (!this.#server) {
      const exports = { names: () => [], open: (name: string) => this.#open(name) };
      const tls = this.#xapi.certificate && this.#tls();
      const listen = (port: number): Promise<NbdServer> =>
        NbdServer.listen({ exports, listen: { host: this.#host!, port }, ...(tls && { tls }) });
      this.#server = await listen(PORT).catch(() => listen(0));
    }
  }

  /** Asked for at each connection: the certificate may change. */
  #tls(): { key: string; cert: string; required: () => boolean } {
    const xapi = this.#xapi;
    return {
      get key() {
        return xapi.certificate!.key;
      },
      get cert() {
        return served(xapi.certificate!).cert;
      },
      required: () => !this.#insecure(),
    };
  }

  async close(): Promise<void> {
    this.#host = undefined;
    await this.update();
  }

  /** `/UUID?session_id=…` */
  #open(name: string): Promise<OpenExport | undefined> {
    const { db, sessions, certificate } = this.#xapi;
    const match = /^\/([0-9a-f-]{36})\?session_id=([\w:-]{1,80})$/.exec(name);
    const session = match && sessions.peek(match[2]);
    if (!match || !session || !db.hasUuid('VDI', match[1]) || (!certificate && !this.#insecure()))
      return Promise.resolve(undefined);
    assertMay(session, 'connect_nbd', 'vm-admin');
    return this.#share(db.byUuid('VDI', match[1]));
  }

  /** Several connections read one image. */
  async #share(vdi: Row): Promise<OpenExport> {
    const shared = this.#shared.get(vdi) ?? this.#take(vdi);
    shared.users++;
    const close = async (): Promise<void> => {
      if (--shared.users > 0) return;
      this.#shared.delete(vdi);
      const image = await shared.image.catch(() => undefined);
      await image?.close();
      shared.release();
    };
    try {
      return { image: await shared.image, close };
    } catch (error) {
      await close();
      throw error;
    }
  }

  #take(vdi: Row): Shared {
    const { db, storage } = this.#xapi;
    storage.assertUnused(vdi, 'copy');
    storage.assertAttached(db.row('SR', vdi.text('SR')));
    let release: () => void = () => {};
    const image = new Promise<DiskImage>((resolve, reject) => {
      const until = new Promise<void>((end) => (release = end));
      // Until the last one has left nobody changes it.
      void storage
        .busy(vdi, 'copy', async () => {
          resolve(await storage.opening([vdi], () => storage.open(vdi, { readonly: true })));
          await until;
        })
        .catch(reject);
    });
    const shared = { image, users: 0, release };
    this.#shared.set(vdi, shared);
    return shared;
  }

  /** Where a client of that session finds a disk; nowhere if no network is for it. */
  info(vdi: Row, session: Session): Record<string, string | number>[] {
    const { db, storage, certificate } = this.#xapi;
    if (!vdi.flag('managed')) throw new Failure('VDI_NOT_MANAGED', vdi.ref);
    storage.assertContents(vdi);
    if (!this.#server || typeof this.#server.address !== 'number') return [];
    const port = this.#server.address;
    const addresses = new Set<string>();
    for (const network of this.#networks())
      for (const ref of network.refs('PIFs')) {
        const pif = db.row('PIF', ref);
        if (pif.text('IP') !== '') addresses.add(pif.text('IP'));
        for (const each of pif.refs('IPv6')) addresses.add(each.split('/')[0]);
      }
    const exportname = `/${vdi.uuid}?session_id=${session.ref}`;
    const cert = certificate?.cert ?? '';
    return [...addresses].map((address) => ({ exportname, address, port, cert, subject: subjectOf(certificate) }));
  }
}

const subjectOf = (certificate: Certificate | undefined): string =>
  certificate ? (/CN=(.*)/.exec(new X509Certificate(certificate.cert).subject)?.[1] ?? '') : '';
