/** Records of interfaces, with what belongs to them. */
import type { Value } from '../../../spec/xenapi/types.ts';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import { timeText } from '../rpc/decode.ts';
import type { Xapi } from '../xapi.ts';

export function addPif(xapi: Xapi, values: Record<string, Value>): Row {
  const { db, hostRef: host } = xapi;
  const metrics = db.create('PIF_metrics', { carrier: true, last_updated: timeText(Date.now()), device_name: values.device }); // prettier-ignore
  return db.create('PIF', { host, MTU: 1500, VLAN: -1, managed: true, ...values, metrics: metrics.ref });
}

export function dropPif({ db }: Xapi, pif: Row): void {
  const metrics = db.find('PIF_metrics', pif.text('metrics'));
  if (metrics) db.destroy(metrics);
  db.destroy(pif);
}

/** Guests' interfaces that are plugged into its network. */
export function assertUnused({ db }: Xapi, pif: Row): void {
  const network = db.find('network', pif.text('network'));
  const used = (network?.refs('VIFs') ?? []).filter((ref) => db.row('VIF', ref).flag('currently_attached'));
  if (used.length > 0) throw new Failure('NETWORK_CONTAINS_VIF', ...used);
}
