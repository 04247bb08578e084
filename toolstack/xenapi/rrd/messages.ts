/** Messages on data sources of hosts, machines and storage. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import type { Arguments, Handlers } from '../messages.ts';
import { assertAllowed } from '../VM/operations.ts';
import type { Xapi } from '../xapi.ts';
import type { Owner } from './metrics.ts';
import type { Rrd, Series } from './rrd.ts';

/** A counter's change takes two looks at it; neither protocol can write what is not known. */
const isKnown = ({ last }: Series): boolean => Number.isFinite(last);

function rrdOf({ metrics }: Xapi, owner: Owner, row: Row): Rrd | undefined {
  return metrics.find(owner, row.uuid);
}

function seriesOf(xapi: Xapi, owner: Owner, row: Row, args: Arguments): Series {
  const name = args.text('data_source');
  const found = rrdOf(xapi, owner, row)?.series.get(name);
  if (!found || !isKnown(found)) throw new Failure('INVALID_VALUE', 'data_source', name);
  return found;
}

const record = ({ source, enabled, last }: Series) => ({
  ...{ name_label: source.name, name_description: source.about, enabled, standard: true, units: source.units },
  ...{ min: source.min, max: Number.isFinite(source.max) ? source.max : Number.MAX_VALUE, value: last },
});

function forClass(name: string, owner: Owner, parameter: string): Handlers {
  const check = (row: Row): Row => {
    if (owner === 'vm') assertAllowed(row, 'data_source_op');
    return row;
  };
  return {
    [`${name}.get_data_sources`]: (args, { xapi }) =>
      [...(rrdOf(xapi, owner, args.row(parameter))?.series.values() ?? [])].filter(isKnown).map(record),
    [`${name}.query_data_source`]: (args, { xapi }) => seriesOf(xapi, owner, check(args.row(parameter)), args).last,
    [`${name}.record_data_source`]: (args, { xapi }) => {
      seriesOf(xapi, owner, check(args.row(parameter)), args).enabled = true;
    },
    [`${name}.forget_data_source_archives`]: (args, { xapi }) =>
      seriesOf(xapi, owner, args.row(parameter), args).forget(),
  };
}

const MAX_DELAY_S = 3600;

export const rrd: Handlers = {
  'host.backup_rrds': async (args, { xapi, task }) => {
    args.row('host');
    const delay = args.number('delay');
    if (!(delay >= 0 && delay <= MAX_DELAY_S)) throw new Failure('INVALID_VALUE', 'delay', String(delay));
    if (delay > 0) await sleep(delay * 1000, undefined, { signal: task.signal }).catch(() => task.checkCancelled());
    await xapi.metrics.write();
  },
  ...forClass('host', 'host', 'host'),
  ...forClass('VM', 'vm', 'self'),
  ...forClass('SR', 'sr', 'sr'),
};
