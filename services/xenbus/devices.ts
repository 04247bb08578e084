// Devices in the store as a toolstack lays them out and takes them away: libxl's nodes, permissions and order, for any kind.
import { XenbusStateClosed, XenbusStateClosing, XenbusStateInitialising } from '../../spec/abi/constants.ts';
import type { LocalClient } from '../xenstore/protocol/client.ts';
import { domainPath, parentOf } from '../xenstore/protocol/path.ts';
import { packStrings, XS } from '../xenstore/protocol/wire.ts';
import { backPath, frontPath, type Address } from './backend.ts';

type Rows = Readonly<Record<string, string | number>>;

export interface NewDevice {
  address: Address;
  /** What the back end's folder has beside its address and state; it also stays in the toolstack's own notes. */
  back: Rows;
  /** What the back end's folder alone has. */
  backOnly?: Rows;
  front: Rows;
  /** Nodes below the front end's folder that the guest may only read. */
  fixed?: Rows;
}

export const notesPath = ({ frontend, kind, device }: Address): string => `/libxl/${frontend}/device/${kind}/${device}`;

/** A back end writes many nodes for many guests; its part of the store is bounded by what toolstacks attach. */
const QUOTAS = { nodes: 1 << 20, watches: 1 << 16, memory: 1 << 28, 'transaction-nodes': 4096, outstanding: 1 << 16 };

/** The domain whose service a back end is, as the store has it. */
export function serviceNodes(store: LocalClient, domid: number, name: string): void {
  const home = domainPath(domid);
  store.transaction((tx) => {
    for (const [path, value] of [
      [home, ''],
      [`${home}/domid`, String(domid)],
      [`${home}/name`, name],
      [`${home}/backend`, ''],
    ] as const) {
      store.write(path, value, tx);
      store.setPerms(path, [`n${domid}`], tx);
    }
  });
  for (const [quota, value] of Object.entries(QUOTAS))
    store.call(XS.SET_QUOTA, packStrings(String(domid), quota, String(value)));
}

/** Lays out a device; its front end and back end see all of it or nothing. */
export function writeDevice(store: LocalClient, { address, back, backOnly = {}, front, fixed = {} }: NewDevice): void {
  const { frontend, backend } = address;
  const [frontAt, backAt, notes] = [frontPath(address), backPath(address), notesPath(address)];
  const shared = { 'frontend-id': frontend, online: 1, ...back, state: XenbusStateInitialising };
  store.transaction((tx) => {
    const write = (folder: string, rows: Rows, perms?: readonly string[]): void => {
      for (const [name, value] of Object.entries(rows)) {
        const path = name === '' ? folder : `${folder}/${name}`;
        store.write(path, String(value), tx);
        if (perms) store.setPerms(path, perms, tx);
      }
    };
    write(notes, { '': '', frontend: frontAt, backend: backAt, ...shared });
    const own = [`n${frontend}`, `r${backend}`];
    const state = { state: XenbusStateInitialising };
    write(frontAt, { '': '', backend: backAt, 'backend-id': backend, ...state, ...front }, own);
    write(frontAt, fixed, [`n${backend}`, `r${frontend}`]);
    write(backAt, { '': '', frontend: frontAt, ...shared, ...backOnly }, [`n${backend}`, `r${frontend}`]);
  });
}

/** Asks both ends to close the device for good; the back end's `onGone` tells when that has been done. */
export function closeDevice(store: LocalClient, address: Address): void {
  const back = backPath(address);
  store.transaction((tx) => {
    if (store.find(back, tx) === undefined) return;
    store.write(`${back}/online`, '0', tx);
    if (store.find(`${back}/state`, tx) !== String(XenbusStateClosed))
      store.write(`${back}/state`, String(XenbusStateClosing), tx);
  });
}

/** Whether a device that was asked to close has done so within `ms`. */
export async function goneWithin(gone: Promise<void>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => (timer = setTimeout(() => resolve(false), ms)));
  const done = await Promise.race([gone.then(() => true), late]);
  clearTimeout(timer);
  return done;
}

/** Takes away what writeDevice made, and folders that are empty then. */
export function removeDevice(store: LocalClient, address: Address): void {
  const { backend, frontend, kind, device } = address;
  const errors = `${domainPath(backend)}/error/backend/${kind}/${frontend}/${device}`;
  store.transaction((tx) => {
    const gone = (path: string): boolean => store.find(path, tx) === undefined;
    for (const path of [frontPath(address), notesPath(address)]) {
      if (gone(path)) continue;
      store.remove(path, tx);
      const parent = parentOf(path);
      if (store.list(parent, tx).length === 0) store.remove(parent, tx);
    }
    for (const path of [backPath(address), errors]) {
      if (gone(path)) continue;
      store.remove(path, tx);
      const kept = [`${domainPath(backend)}/backend`, domainPath(backend)];
      for (let at = parentOf(path); !kept.includes(at) && store.list(at, tx).length === 0; at = parentOf(at))
        store.remove(at, tx);
    }
  });
}
