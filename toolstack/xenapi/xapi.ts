/** The API server without its wire: database, sessions, tasks, events and the messages. */
import { ROLES, type Role } from '../../spec/xenapi/roles.ts';
import { NULL_REF } from '../../spec/xenapi/types.ts';
import type { Database } from './database/database.ts';
import type { Row } from './database/row.ts';
import { Dispatcher } from './dispatch.ts';
import { Events } from './event/events.ts';
import { HANDLERS } from './handlers.ts';
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
import { Nbd } from './VDI/nbd.ts';
import { Power } from './VM/power.ts';
import { makeTemplates, type Images } from './VM/templates.ts';
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
  readonly certificate: Certificate | undefined;
  readonly power: Power;
  readonly storage: Storage;
  readonly nbd = new Nbd(this);
  readonly metrics = new Metrics(this);
  readonly images: Images | undefined;
  readonly sessions: Sessions;
  readonly attempts = new Attempts();
  readonly tasks: Tasks;
  readonly events: Events;
  readonly dispatcher: Dispatcher;
  readonly #timer: NodeJS.Timeout;

  constructor({ db, users, xenops, log, version, address, certificate, storage, blobs, images }: XapiParts) {
    this.blobs = blobs;
    this.db = db;
    this.users = users;
    // The last lines are what `host.get_log` tells.
    this.log = (text) => {
      this.recent.push(`${new Date().toISOString()} ${text}`);
      if (this.recent.length > MAX_LINES) this.recent.shift();
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
  }

  /** The pool, once there is one. */
  get pool(): Row {
    return this.db.table('pool').values().next().value!;
  }

  /** The host that this server runs on. */
  get host(): Row {
    return this.db.row('host', this.pool.text('master'));
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
    this.metrics.close();
    this.events.close();
    await this.nbd.close();
    await this.storage.close();
    await this.db.close();
  }
}
