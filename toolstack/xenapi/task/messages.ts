import { ROLES } from '../../../spec/xenapi/roles.ts';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import type { Caller, Handlers } from '../messages.ts';
import { timeText } from '../rpc/decode.ts';
import type { Session } from '../session/sessions.ts';
import type { Xapi } from '../xapi.ts';

/** Everybody rules over his own tasks, operators over all. */
export function assertMine(row: Row, what: string, xapi: Xapi, { login }: Session): void {
  const { superuser, roles, user } = login;
  const operator = roles.some((role) => ROLES.indexOf(role) <= ROLES.indexOf('pool-operator'));
  if (!superuser && !operator && xapi.tasks.owner(row) !== user)
    throw new Failure('RBAC_PERMISSION_DENIED', `task.${what}/any`, 'No permission in user session');
}

function mine(row: Row, what: string, { session, xapi }: Caller): Row {
  assertMine(row, what, xapi, session);
  return row;
}

/** What a client reports of its own work. */
function report(row: Row, values: Record<string, string | number | string[]>, caller: Caller): void {
  mine(row, 'set_status', caller);
  caller.xapi.db.set(row, values);
}

const ENDS = ['success', 'failure', 'cancelled'];

export const task: Handlers = {
  'task.create': (args, { xapi, session }) =>
    xapi.tasks.create(args.text('label'), args.text('description'), session).ref,
  'task.destroy': (args, caller) => caller.xapi.tasks.destroy(mine(args.row('self'), 'destroy', caller)),
  'task.cancel': (args, caller) => caller.xapi.tasks.cancel(mine(args.row('task'), 'cancel', caller)),
  'task.set_status': (args, caller) => {
    const status = args.text('value');
    const end: Record<string, string | string[]> = { finished: timeText(Date.now()), allowed_operations: [] };
    report(args.row('self'), { status, ...(ENDS.includes(status) && end) }, caller);
  },
  'task.set_progress': (args, caller) => {
    report(args.row('self'), { progress: Math.min(1, Math.max(0, args.number('value'))) }, caller);
  },
  'task.set_result': (args, caller) => report(args.row('self'), { result: args.text('value') }, caller),
  'task.set_error_info': (args, caller) => report(args.row('self'), { error_info: args.list('value') }, caller),
};
