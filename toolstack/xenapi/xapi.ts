/** The API server without its wire: database, sessions, tasks, events and the messages. */
import { join } from 'node:path';
import { ROLES, type Role } from '../../spec/xenapi/roles.ts';
import { NULL_REF } from '../../spec/xenapi/types.ts';
import type { Database } from './database/database.ts';
import type { Row } from './database/row.ts';
import { Callers } from './Caller/callers.ts';
import { Dispatcher } from './dispatch.ts';
import { Events } from './event/events.ts';
import { HANDLERS } from './handlers.ts';
import { tellAgents } from './pool/messages.ts';
import { makeRoles } from './rbac/rbac.ts';
import { firstStorage } from './SR/messages.ts';
import { Storage } from './SR/storage.ts';
import { holdDisks } from './VBD/attach.ts';
import { Attempts } from './session/attempts.ts';
import { Metrics } from './rrd/metrics.ts';
import { Sessions } from './session/sessions.ts';
import type { Users } from './session/users.ts';
import { Tasks } from './task/tasks.ts';
import type { Certificate } from './rpc/certificate.ts';
import { Wire } from './rpc/wire.ts';
import { Nbd } from './VDI/nbd.ts';
import { Power } from './VM/power.ts';
import { Schedules } from './VMSS/snapshots.ts';
import { makeTemplates, type Images } from './VM/templates.ts';
import { Authorities } from './host/authorities.ts';
import { configureSyslog, Syslog } from './host/syslog.ts';
import { takeInventory } from './host/inventory.ts';
import type { Xenops } from './xenops/xenops.ts';

const MAX_LINES = 1000;
const SWEEP_MS = 30_000;

const HTTPS = 443;
const HTTP = 80;

export function urlOf(scheme: 'http' | 'https', address: string, port: number): string {
  const host = address.includes(':') ? `[${address}]` : address;
  return port === (scheme === 'https' ? HTTPS : HTTP) ? `${scheme}://${host}` : `${scheme}://${host}:${port}`;
}

export interface XapiParts {
  db: Database;
  users: Users;
  xenops: Xenops;
  log: (text: string) => void;
  version: string;
  /** Where clients reach the API. */
  address: string;
  certificate?: Certificate;
  /** Folder of all storage; without, the host has none. */
  storage?: string;
  /** Folder of blobs. */
  blobs?: string;
  /** Folder of the server itself. */
  folder?: string;
  /** Folders of what its templates begin with; without, it has no templates. */
  images?: Images;
}

export class Xapi {
  readonly db: Database;
  readonly users: Users;
  readonly recent: string[] = [];
  readonly blobs: string | undefined;
  readonly log: (text: string) => void;
  readonly version: string;
  /** Where clients reach it; whoever listens at another port says so. */
  url: string;
  readonly xenops: Xenops;
  certificate: Certificate | undefined;
  /** The server's folder; without, nothing of it is kept but the database. */
  readonly folder: string | undefined;
  readonly wire = new Wire();
  readonly syslog = new Syslog();
  readonly authorities: Authorities;
  readonly callers: Callers;
  readonly schedules: Schedules;
  readonly power: Power;
  readonly storage: Storage;
  readonly nbd = new Nbd(this);
  readonly metrics: Metrics;
  readonly images: Images | undefined;
  readonly sessions: Sessions;
  readonly attempts = new Attempts();
  readonly tasks: Tasks;
  readonly events: Events;
  readonly dispatcher: Dispatcher;
  readonly #timer: NodeJS.Timeout;

  constructor({ db, users, xenops, log, version, address, certificate, storage, blobs, images, folder }: XapiParts) {
    // prettier-ignore
    this.blobs = blobs;
    this.folder = folder;
    this.metrics = new Metrics(this, folder === undefined ? undefined : join(folder, 'rrds'));
    this.db = db;
    this.users = users;
    // The last lines are what `host.get_log` tells.
    this.log = (text) => {
      this.recent.push(`${new Date().toISOString()} ${text}`);
      if (this.recent.length > MAX_LINES) this.recent.shift();
      this.syslog.send(text);
      log(text);
    };
    this.version = version;
    this.url = urlOf('https', address, HTTPS);
    this.xenops = xenops;
    this.certificate = certificate;
    this.images = images;
    this.sessions = new Sessions(db);
    this.tasks = new Tasks(db);
    this.events = new Events(db);
    this.power = new Power(this);
    this.storage = new Storage(db, storage, (vdis, act) => holdDisks(this, vdis, act), log);
    makeRoles(db);
    takeInventory(this, { facts: xenops.facts(), address, certificate });
    this.authorities = new Authorities(this);
    this.callers = new Callers(this);
    this.schedules = new Schedules(this);
    tellAgents(this);
    try {
      configureSyslog(this);
    } catch (error) {
      // What a client has written into the record is not what the host starts by.
      this.log(`xenapi: the log goes nowhere else: ${(error as Error).message}`);
    }
    firstStorage(this);
    if (images) makeTemplates(this, images);
    this.dispatcher = new Dispatcher(this, HANDLERS);
    this.#timer = setInterval(() => this.#sweep(), SWEEP_MS);
    this.#timer.unref();
    this.metrics.start();
  }

  #sweep(): void {
    this.sessions.expire();
    this.tasks.expire();
    void this.db.sweepIfDue();
    void this.schedules.check();
  }

  /** The pool, once there is one. */
  get pool(): Row {
    return this.db.table('pool').values().next().value!;
  }

  /** The host that this server runs on. */
  get host(): Row {
    return this.db.row('host', this.pool.text('master'));
  }

  /** Networks reach it by TLS alone. */
  get httpsOnly(): boolean {
    return this.host.flag('https_only');
  }

  get hostRef(): string {
    return this.db.table('pool').size === 0 ? NULL_REF : this.pool.text('master');
  }

  /** What a subject may do. */
  rolesOf(subject: Row): Role[] {
    const names = subject.refs('roles').map((ref) => this.db.find('role', ref)?.text('name_label'));
    return ROLES.filter((role) => names.includes(role));
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.metrics.close();
    this.syslog.close();
    this.events.close();
    await this.nbd.close();
    await this.storage.close();
    await this.db.close();
  }
}
