import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import type { Handlers } from '../messages.ts';
import type { Xapi } from '../xapi.ts';
import type { Usage } from './callers.ts';

const MAX_CALLERS = 1000;

const written = ({ tokens, calls }: Usage): Record<string, string> => ({ tokens: tokens.toFixed(1), calls: String(calls) }); // prettier-ignore

function sumOf(xapi: Xapi, rows: Row[]): Usage {
  const sum = { calls: 0, tokens: 0 };
  for (const row of rows) {
    const { calls, tokens } = xapi.callers.usage(row);
    sum.calls += calls;
    sum.tokens += tokens;
  }
  return sum;
}

function assertRoom(xapi: Xapi, name: string): void {
  if (xapi.db.table(name).size >= MAX_CALLERS) throw new Failure('OPERATION_NOT_ALLOWED', `there are ${MAX_CALLERS} already`); // prettier-ignore
}

export const callers: Handlers = {
  'Caller.create': (args, { xapi }) => {
    const { db } = xapi;
    assertRoom(xapi, 'Caller');
    const fields = ['name_label', 'name_description', 'user_agent', 'client_ip'];
    const values = Object.fromEntries(fields.map((field) => [field, args.text(field)]));
    const { user_agent, client_ip } = values;
    if (user_agent === '' && client_ip === '') throw new Failure('INVALID_VALUE', 'user_agent', user_agent);
    for (const row of db.table('Caller').values())
      if (row.text('user_agent') === user_agent && row.text('client_ip') === client_ip)
        throw new Failure('MAP_DUPLICATE_KEY', 'Caller', 'user_agent', row.ref, user_agent);
    return db.create('Caller', values).ref;
  },
  'Caller.destroy': (args, { xapi }) => {
    const row = args.row('self');
    xapi.callers.forget(row);
    xapi.db.destroy(row);
  },
  'Caller.add_group': (args, { xapi }) => {
    const row = args.row('self');
    xapi.db.set(row, { groups: [...new Set([...row.refs('groups'), args.text('group')])] });
  },
  'Caller.remove_group': (args, { xapi }) => {
    const row = args.row('self');
    xapi.db.set(row, { groups: row.refs('groups').filter((each) => each !== args.text('group')) });
  },
  'Caller.query_usage': (args, { xapi }) => written(xapi.callers.usage(args.row('self'))),
  'Caller.query_group_usage': (args, { xapi }) => {
    const rows = [...xapi.db.table('Caller').values()];
    return written(sumOf(xapi, rows.filter((row) => row.refs('groups').includes(args.text('group'))))); // prettier-ignore
  },
  'Caller.query_all_usage': (_args, { xapi }) => {
    const rows = [...xapi.db.table('Caller').values()].map((row) => ({ row, usage: xapi.callers.usage(row) }));
    const sorted = rows.toSorted((a, b) => b.usage.tokens - a.usage.tokens);
    return sorted.map(({ row, usage }) => {
      const { tokens, calls } = written(usage);
      return [row.uuid, row.text('name_label'), tokens, calls];
    });
  },
  'Rate_limit.create': (args, { xapi }) => {
    const values = args.record('args') as Record<string, string | number>;
    assertRoom(xapi, 'Rate_limit');
    if (values.client_id === '') throw new Failure('INVALID_VALUE', 'client_id', '');
    for (const field of ['burst_size', 'fill_rate'])
      if (!((values[field] as number) > 0 && (values[field] as number) <= 1e6)) throw new Failure('INVALID_VALUE', field, String(values[field])); // prettier-ignore
    if ((values.burst_size as number) < 1) throw new Failure('INVALID_VALUE', 'burst_size', String(values.burst_size));
    for (const row of xapi.db.table('Rate_limit').values())
      if (row.text('client_id') === values.client_id) throw new Failure('MAP_DUPLICATE_KEY', 'Rate_limit', 'client_id', row.ref, String(values.client_id)); // prettier-ignore
    return xapi.db.change(() => {
      const row = xapi.db.create('Rate_limit', values);
      xapi.callers.attach(row);
      return row.ref;
    });
  },
  'Rate_limit.destroy': (args, { xapi }) => {
    const row = args.row('self');
    xapi.db.change(() => {
      xapi.callers.detach(row);
      xapi.db.destroy(row);
    });
  },
};
