/** Addresses that a guest is to give its interfaces: its agent is asked to by xenstore, if it says that it can be. */
import { isIP } from 'node:net';
import { NULL_REF, type Value } from '../../../spec/xenapi/types.ts';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import type { Handler, Handlers } from '../messages.ts';
import type { Xapi } from '../xapi.ts';
import type { StaticAddress } from '../xenops/xenops.ts';

const FEATURE = 'feature-static-ip-setting';

function checkCidr(text: string, family: 4 | 6): void {
  const [address, length, ...rest] = text.split('/');
  const most = family === 4 ? 32 : 128;
  const right = isIP(address) === family && /^\d{1,3}$/.test(length ?? '') && Number(length) <= most && !rest.length;
  if (!right) throw new Failure('INVALID_CIDR_ADDRESS_SPECIFIED', `ipv${family}_address`);
}

function assertAgent({ db }: Xapi, vif: Row): void {
  const vm = db.row('VM', vif.text('VM'));
  const said = db.find('VM_guest_metrics', vm.text('guest_metrics'))?.map('other')[FEATURE];
  if (said !== '1') throw new Failure('VM_LACKS_FEATURE_STATIC_IP_SETTING', vm.ref);
}

function wanted(vif: Row): StaticAddress {
  const of = (family: 4 | 6) => {
    if (vif.text(`ipv${family}_configuration_mode`) !== 'Static') return undefined;
    return { address: vif.refs(`ipv${family}_addresses`)[0] ?? '', gateway: vif.text(`ipv${family}_gateway`) };
  };
  const [ipv4, ipv6] = [of(4), of(6)];
  return { mac: vif.text('MAC'), ...(ipv4 && { ipv4 }), ...(ipv6 && { ipv6 }) };
}

/** Tells the agent of a machine that runs; `all`: also that it is to choose by itself. */
export function applyAddress({ db, xenops }: Xapi, vif: Row, all = false): void {
  const address = wanted(vif);
  if (all || address.ipv4 || address.ipv6)
    xenops.setAddress(db.row('VM', vif.text('VM')).uuid, Number(vif.text('device')), address);
}

const configure =
  (family: 4 | 6): Handler =>
  (args, { xapi }) => {
    const vif = args.row('self');
    const [mode, address, gateway] = [args.text('mode'), args.text('address'), args.text('gateway')];
    const fixed = mode === 'Static';
    if (fixed) {
      checkCidr(address, family);
      if (gateway !== '' && isIP(gateway) !== family) throw new Failure('INVALID_IP_ADDRESS_SPECIFIED', 'gateway');
    }
    assertAgent(xapi, vif);
    const values: Record<string, Value> = {
      [`ipv${family}_configuration_mode`]: mode,
      [`ipv${family}_addresses`]: fixed ? [address] : [],
      [`ipv${family}_gateway`]: fixed ? gateway : '',
    };
    xapi.db.change(() => {
      xapi.db.set(vif, values);
      if (vif.flag('currently_attached')) applyAddress(xapi, vif, true);
    });
  };

/** What the agent of a machine that has just started is to do. */
export function applyAddresses(xapi: Xapi, vm: Row): void {
  for (const ref of vm.refs('VIFs'))
    if (xapi.db.row('VIF', ref).text('network') !== NULL_REF) applyAddress(xapi, xapi.db.row('VIF', ref));
}

export const addresses: Handlers = { 'VIF.configure_ipv4': configure(4), 'VIF.configure_ipv6': configure(6) };
