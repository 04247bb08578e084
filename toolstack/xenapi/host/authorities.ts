/** Authorities that this host trusts when it asks other servers, and what they have taken back: files, and `Certificate` records. */
import { X509Certificate } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import type { Handler, Handlers } from '../messages.ts';
import { timeText } from '../rpc/decode.ts';
import { pemParts } from '../rpc/certificate.ts';
import type { Xapi } from '../xapi.ts';

type Kind = 'ca' | 'crl';
const WORD: Record<Kind, string> = { ca: 'CERTIFICATE', crl: 'CRL' };
/** A name is a file's. */
const NAME = /^[\w][\w.@+-]{0,127}$/;
const MAX_PEM = 1 << 20;
const MAX_FILES = 1000;

async function check(kind: Kind, name: string, pem: string): Promise<void> {
  const corrupt = new Failure(`${WORD[kind]}_CORRUPT`, name);
  if (pem.length > MAX_PEM) throw corrupt;
  try {
    if (kind === 'ca') {
      const [only, ...rest] = pemParts(pem, 'CERTIFICATE');
      if (!only || rest.length > 0) throw corrupt;
      void new X509Certificate(only);
      return;
    }
    await import('reflect-metadata');
    const { X509Crl } = await import('@peculiar/x509');
    const [only, ...rest] = pemParts(pem, 'X509 CRL');
    if (!only || rest.length > 0) throw corrupt;
    void new X509Crl(only);
  } catch {
    throw corrupt;
  }
}

export class Authorities {
  readonly #xapi: Xapi;
  /** What is in the files, by name. */
  readonly #kept: Record<Kind, Map<string, string>> = { ca: new Map(), crl: new Map() };

  constructor(xapi: Xapi) {
    this.#xapi = xapi;
    this.sync();
  }

  #folder(kind: Kind): string | undefined {
    return this.#xapi.folder === undefined ? undefined : join(this.#xapi.folder, 'trusted', kind);
  }

  /** Files and records as they should be, whoever has changed the files. */
  sync(): void {
    for (const kind of ['ca', 'crl'] as const) {
      const folder = this.#folder(kind);
      if (folder === undefined) continue;
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      this.#kept[kind].clear();
      for (const name of readdirSync(folder).filter((each) => NAME.test(each)).slice(0, MAX_FILES)) // prettier-ignore
        this.#kept[kind].set(name, readFileSync(join(folder, name), 'utf8').slice(0, MAX_PEM));
    }
    this.#record();
  }

  #record(): void {
    const { db } = this.#xapi;
    db.change(() => {
      const rows = new Map<string, Row>();
      for (const row of db.table('Certificate').values())
        if (row.text('type') === 'ca') rows.set(row.text('name'), row);
      for (const [name, row] of rows) if (!this.#kept.ca.has(name)) db.destroy(row);
      for (const [name, pem] of this.#kept.ca) {
        let parsed: X509Certificate;
        try {
          parsed = new X509Certificate(pem);
        } catch {
          // A file that somebody has put there is none.
          continue;
        }
        const values = {
          ...{ name, type: 'ca', fingerprint: parsed.fingerprint256 },
          not_before: timeText(parsed.validFromDate.getTime()),
          not_after: timeText(parsed.validToDate.getTime()),
        };
        const row = rows.get(name);
        if (row && row.text('fingerprint') !== values.fingerprint) db.destroy(row);
        if (!row || row.gone) db.create('Certificate', values);
      }
    });
  }

  names(kind: Kind): string[] {
    return [...this.#kept[kind].keys()].toSorted();
  }

  async install(kind: Kind, name: string, pem: string): Promise<void> {
    if (!NAME.test(name)) throw new Failure(`${WORD[kind]}_NAME_INVALID`, name);
    if (this.#kept[kind].has(name)) throw new Failure(`${WORD[kind]}_ALREADY_EXISTS`, name);
    await check(kind, name, pem);
    if (this.#kept[kind].size >= MAX_FILES)
      throw new Failure('OPERATION_NOT_ALLOWED', `there are ${MAX_FILES} already`);
    const folder = this.#folder(kind);
    if (folder !== undefined) {
      const aside = join(folder, `.${name}.new`);
      writeFileSync(aside, pem, { mode: 0o600, flush: true });
      renameSync(aside, join(folder, name));
    }
    this.#kept[kind].set(name, pem);
    this.#record();
  }

  uninstall(kind: Kind, name: string): void {
    if (!NAME.test(name)) throw new Failure(`${WORD[kind]}_NAME_INVALID`, name);
    if (!this.#kept[kind].has(name)) throw new Failure(`${WORD[kind]}_DOES_NOT_EXIST`, name);
    const folder = this.#folder(kind);
    if (folder !== undefined) rmSync(join(folder, name), { force: true });
    this.#kept[kind].delete(name);
    this.#record();
  }

  /** For who asks another server by TLS: the world's authorities and these. With lists of revoked certificates each authority needs one. */
  get trust(): { ca: string[]; crl?: string[]; rejectUnauthorized: boolean } {
    const crl = [...this.#kept.crl.values()];
    return {
      ca: [...rootCertificates, ...this.#kept.ca.values()],
      ...(crl.length > 0 && { crl }),
      rejectUnauthorized: this.#xapi.host.flag('tls_verification_enabled'),
    };
  }
}

const install =
  (kind: Kind): Handler =>
  (args, { xapi }) =>
    xapi.authorities.install(kind, args.text('name'), args.text('cert'));
const uninstall =
  (kind: Kind): Handler =>
  (args, { xapi }) =>
    xapi.authorities.uninstall(kind, args.text('name'));
const verify =
  (tls_verification_enabled: boolean): Handler =>
  (_args, { xapi }) =>
    xapi.db.set(xapi.host, { tls_verification_enabled });

export const authorities: Handlers = {
  'pool.certificate_install': install('ca'),
  'pool.install_ca_certificate': install('ca'),
  'pool.certificate_uninstall': uninstall('ca'),
  'pool.uninstall_ca_certificate': uninstall('ca'),
  'pool.certificate_list': (_args, { xapi }) => xapi.authorities.names('ca'),
  'pool.crl_install': install('crl'),
  'pool.crl_uninstall': uninstall('crl'),
  'pool.crl_list': (_args, { xapi }) => xapi.authorities.names('crl'),
  'pool.certificate_sync': (_args, { xapi }) => xapi.authorities.sync(),
  'pool.enable_tls_verification': (_args, { xapi }) =>
    xapi.db.change(() => {
      xapi.db.set(xapi.pool, { tls_verification_enabled: true });
      for (const host of xapi.db.table('host').values()) xapi.db.set(host, { tls_verification_enabled: true });
    }),
  'host.emergency_disable_tls_verification': verify(false),
  'host.emergency_reenable_tls_verification': verify(true),
};
