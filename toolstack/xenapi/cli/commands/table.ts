/** Shows some parameters of some objects, as lists do. */
import { RECORDS } from '../../../../spec/xenapi/cli/records.ts';
import type { Row } from '../../database/row.ts';
import { chosen, record } from '../records.ts';
import type { Record as Shown } from '../printer.ts';
import type { Shell } from '../shell.ts';

/** `shown`: parameters with spaces between, all if empty; `asked`: what a person wants instead, with commas. */
export async function table(
  shell: Shell,
  name: string,
  rows: readonly Row[],
  shown: string,
  asked?: string,
): Promise<void> {
  const kind = RECORDS.get(name)!;
  const params = chosen(kind, asked, shown === '' ? [] : shown.split(' '));
  const records: Shown[] = [];
  for (const row of rows) records.push(await record(shell, row, params));
  await shell.printer.table(records);
}
