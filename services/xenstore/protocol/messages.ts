// The message table: what each request takes, who may send it, what it answers.
import type { Connection, Request } from './connection.ts';
import { control } from './control.ts';
import type { Quota } from './domains.ts';
import { FEATURES, QUOTA_NAMES } from './domains.ts';
import { domainPath } from './path.ts';
import { formatPerm, parsePerm, READ } from './perms.ts';
import type { Context, Store } from './store.ts';
import type { Node } from './tree.ts';
import type { Transaction } from './transaction.ts';
import { numberArgument, oneString, packStrings, PAYLOAD_MAX, stringAndRest, unpackStrings, XS } from './wire.ts';
import { XsError } from './wire.ts';

export interface Call {
  readonly store: Store;
  readonly connection: Connection;
  readonly context: Context;
  readonly transaction: Transaction | undefined;
  readonly payload: Uint8Array;
  /** Runs once the answer is queued. */
  after?: () => void;
}

interface Row {
  readonly name: string;
  /** `privileged`: dom0 and tools only. `untransacted`: the header's transaction id is not looked at. */
  readonly flags: '' | 'privileged' | 'untransacted';
  readonly handle: (call: Call) => string | void;
}

const OK = packStrings('OK');
const U32_MAX = 0xffffffff;
export const QUOTA_MAX = 0x7fffffff;
const DOMID_MAX = 0x7fff;
const DOMID_SELF = 0x7ff0;

const domidArgument = (text: string | undefined): number => numberArgument(text, DOMID_MAX);

/** The argument of a message about another domain: dom0 is none. */
function otherDomain(text: string | undefined): number {
  const domid = domidArgument(text);
  if (domid === 0) throw new XsError('EINVAL', 'domain 0');
  return domid;
}

function strings(call: Call, count: number, atMost = count): string[] {
  const list = unpackStrings(call.payload);
  if (list.length < count || list.length > atMost) throw new XsError('EINVAL', `${count} arguments expected`);
  return list;
}

function readable(call: Call, path: string) {
  return call.store.node(call.context, call.store.path(call.context, path), READ);
}

const names = (node: Node): string => packStrings(...node.children);

/** A long list in parts: generation, then names from a byte offset, then an empty string if that was all. */
function directoryPart(call: Call): string {
  const [path, offsetText] = strings(call, 2);
  const node = readable(call, path!);
  const offset = numberArgument(offsetText, U32_MAX);
  const generation = packStrings(String(node.generation));
  const list = names(node).slice(offset);
  const room = PAYLOAD_MAX - generation.length - 1;
  const part = list.length <= room ? list : list.slice(0, list.lastIndexOf('\0', room - 1) + 1);
  return generation + part + (part.length === list.length ? '\0' : '');
}

function watch(call: Call): string {
  const [path, token, depth] = strings(call, 2, 3);
  const levels = depth === undefined ? undefined : numberArgument(depth, U32_MAX);
  call.after = call.store.watch(call.connection, path!, token!, levels);
  return OK;
}

function endTransaction(call: Call): string {
  const verdict = oneString(call.payload);
  if (verdict !== 'T' && verdict !== 'F') throw new XsError('EINVAL', 'T or F expected');
  if (!call.transaction) throw new XsError('ENOENT', 'no such transaction');
  call.store.end(call.connection, call.transaction, verdict === 'T');
  return OK;
}

function introduce(call: Call): void {
  const [domid, gfn, port] = strings(call, 3);
  const where = Number(/^\d{1,16}$/.test(gfn!) ? gfn : NaN);
  const channel = numberArgument(port, U32_MAX);
  if (!Number.isSafeInteger(where) || channel === 0) throw new XsError('EINVAL', 'bad frame or port');
  call.store.introduce(otherDomain(domid), where, channel);
}

function isIntroduced(call: Call): string {
  const domid = domidArgument(oneString(call.payload));
  const known = domid === 0 || domid === DOMID_SELF || call.store.domains.peek(domid)?.introduced !== undefined;
  return packStrings(known ? 'T' : 'F');
}

function begin(call: Call): string {
  if (call.transaction) throw new XsError('EBUSY', 'transactions do not nest');
  return packStrings(String(call.store.begin(call.connection).id));
}

function setPerms(call: Call): void {
  const [path, ...perms] = unpackStrings(call.payload);
  if (path === undefined || perms.length === 0) throw new XsError('EINVAL', 'path and permissions expected');
  call.store.setPerms(call.context, path, perms.map(parsePerm));
}

function setTarget(call: Call): void {
  const [domid, target] = strings(call, 2);
  call.store.setTarget(otherDomain(domid), otherDomain(target));
}

/** The record of another domain that the hypervisor knows. */
function domainOf(call: Call, text: string | undefined) {
  const domain = call.store.domains.find(otherDomain(text), call.store.generation + 1);
  if (!domain) throw new XsError('ENOENT', 'no such domain');
  return domain;
}

function getFeature(call: Call): string {
  const [domid] = strings(call, 0, 1);
  return packStrings(String(domid === undefined || domid === '' ? FEATURES : domainOf(call, domid).features));
}

function setFeature(call: Call): void {
  const [domid, value] = strings(call, 2);
  const domain = domainOf(call, domid);
  const features = numberArgument(value, U32_MAX);
  if (domain.introduced !== undefined) throw new XsError('EBUSY', 'its ring is in use');
  if (features & ~FEATURES) throw new XsError('EINVAL', 'unknown feature');
  domain.features = features;
}

function quotaName(text: string | undefined): Quota {
  const name = QUOTA_NAMES.find((each) => each === text);
  if (!name) throw new XsError('EINVAL', 'unknown quota');
  return name;
}

function getQuota(call: Call): string {
  const list = strings(call, 0, 2);
  if (list.join('') === '') return packStrings(QUOTA_NAMES.join(' '));
  const name = quotaName(list.at(-1));
  const own = list.length > 1 ? domainOf(call, list[0]).quotas[name] : undefined;
  return packStrings(String(own ?? call.store.quotas[name]));
}

function setQuota(call: Call): void {
  const list = strings(call, 2, 3);
  const quotas = list.length > 2 ? domainOf(call, list[0]).quotas : call.store.quotas;
  quotas[quotaName(list.at(-2))] = numberArgument(list.at(-1), QUOTA_MAX);
}

const row = (name: string, handle: Row['handle'], flags: Row['flags'] = ''): Row => ({ name, flags, handle });
const path = (call: Call): string => call.store.path(call.context, oneString(call.payload));

export const MESSAGES: ReadonlyMap<number, Row> = new Map<number, Row>([
  [XS.CONTROL, row('CONTROL', control, 'privileged')],
  [XS.DIRECTORY, row('DIRECTORY', (call) => names(readable(call, oneString(call.payload))))],
  [XS.READ, row('READ', (call) => call.store.read(call.context, path(call)))],
  [
    XS.GET_PERMS,
    row('GET_PERMS', (call) => packStrings(...call.store.perms(call.context, oneString(call.payload)).map(formatPerm))),
  ],
  [XS.WATCH, row('WATCH', watch, 'untransacted')],
  [
    XS.UNWATCH,
    row(
      'UNWATCH',
      (call) => {
        const [where, token] = strings(call, 2);
        call.store.unwatch(call.connection, where!, token!);
      },
      'untransacted',
    ),
  ],
  [XS.TRANSACTION_START, row('TRANSACTION_START', begin)],
  [XS.TRANSACTION_END, row('TRANSACTION_END', endTransaction)],
  [XS.INTRODUCE, row('INTRODUCE', introduce, 'privileged')],
  [XS.RELEASE, row('RELEASE', (call) => call.store.release(otherDomain(oneString(call.payload))), 'privileged')],
  [
    XS.GET_DOMAIN_PATH,
    row('GET_DOMAIN_PATH', (call) => packStrings(domainPath(domidArgument(oneString(call.payload))))),
  ],
  [
    XS.WRITE,
    row('WRITE', (call) => {
      const [where, value] = stringAndRest(call.payload);
      call.store.write(call.context, call.store.path(call.context, where), value);
    }),
  ],
  [XS.MKDIR, row('MKDIR', (call) => call.store.write(call.context, path(call), undefined))],
  [XS.RM, row('RM', (call) => call.store.remove(call.context, path(call)))],
  [XS.SET_PERMS, row('SET_PERMS', setPerms)],
  [XS.IS_DOMAIN_INTRODUCED, row('IS_DOMAIN_INTRODUCED', isIntroduced)],
  [XS.RESUME, row('RESUME', (call) => call.store.resume(otherDomain(oneString(call.payload))), 'privileged')],
  [XS.SET_TARGET, row('SET_TARGET', setTarget, 'privileged')],
  [XS.RESET_WATCHES, row('RESET_WATCHES', (call) => call.store.resetWatches(call.connection), 'untransacted')],
  [XS.DIRECTORY_PART, row('DIRECTORY_PART', directoryPart)],
  [XS.GET_FEATURE, row('GET_FEATURE', getFeature, 'privileged')],
  [XS.SET_FEATURE, row('SET_FEATURE', setFeature, 'privileged')],
  [XS.GET_QUOTA, row('GET_QUOTA', getQuota, 'privileged')],
  [XS.SET_QUOTA, row('SET_QUOTA', setQuota, 'privileged')],
]);

function perform(store: Store, connection: Connection, request: Request): { answer: string; after?: () => void } {
  const message = MESSAGES.get(request.type);
  if (!message) throw new XsError('ENOSYS', 'unknown message');
  if (message.flags === 'privileged' && !connection.privileged) throw new XsError('EACCES', message.name);
  const transacted = request.txId !== 0 && message.flags !== 'untransacted';
  const transaction = transacted ? connection.transactions.get(request.txId) : undefined;
  if (transacted && !transaction) throw new XsError('ENOENT', 'no such transaction');
  const call: Call = { store, connection, context: { connection, transaction }, transaction, payload: request.payload };
  const answer = message.handle(call) ?? OK;
  return call.after ? { answer, after: call.after } : { answer };
}

/** Serves one request: exactly one answer is queued, an error included. */
export function dispatch(store: Store, connection: Connection, request: Request): void {
  try {
    const { answer, after } = perform(store, connection, request);
    connection.reply(request, request.type, answer);
    after?.();
  } catch (error) {
    if (!(error instanceof XsError)) throw error;
    connection.reply(request, XS.ERROR, packStrings(error.code));
  }
}
