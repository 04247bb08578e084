/** What a person is told of what has gone wrong. */
import { errorText } from '../../../spec/xenapi/cli/errors.ts';
import type { Database } from '../database/database.ts';
import { SCHEMAS } from '../database/schema.ts';
import type { Failure } from '../failure.ts';

/** An object's UUID and name, for a reference to it; other text is left as it is. */
export function described(db: Database, text: string): string {
  if (!text.startsWith('OpaqueRef:')) return text;
  for (const name of SCHEMAS.keys()) {
    const row = db.find(name, text);
    if (!row) continue;
    const label = row.fields.name_label;
    return typeof label === 'string' ? `${row.uuid} (${label})` : row.uuid;
  }
  return text;
}

/** A sentence and the parameters behind their names; undefined for a code that is shown as it is. */
export function sentencesOf(db: Database, { code, params }: Failure): string[] | undefined {
  const text = errorText(code);
  if (!text) return undefined;
  const values = params.map((each) => described(db, each));
  const lines = values.map((value, index) => `${text.params[index] ?? '<extra>'}: ${value}`);
  for (const name of text.params.slice(values.length)) lines.push(`${name}: <unknown>`);
  return [text.sentence, ...lines];
}

export const explained = (db: Database, failure: Failure): string =>
  sentencesOf(db, failure)?.join('\n') ?? `${failure.code}: [ ${failure.params.join('; ')} ]`;
