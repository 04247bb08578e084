/** Arguments for messages of which a test knows nothing but their types. */
import { CLASSES } from '../../spec/xenapi/index.ts';
import type { Message } from '../../spec/xenapi/notation.ts';
import { NULL_REF, type Type } from '../../spec/xenapi/types.ts';
import type { Bed } from './testing.ts';

const ENUMS = new Map([...CLASSES.values()].flatMap(({ enums }) => [...enums]));

/** Something of that type: an object that there is, if any, and another value than fields begin with. */
export function plausible(server: Bed, type: Type, name: string): unknown {
  const { xapi, session } = server;
  switch (type.kind) {
    case 'int':
      return 1;
    case 'float':
      return 1.5;
    case 'bool':
      return true;
    case 'datetime':
      return '20260101T00:00:00Z';
    case 'enum':
      return ENUMS.get(type.name)!.at(-1);
    case 'ref': {
      if (type.class === 'session') return session;
      // A class that has been removed, but fields refer to it.
      if (!CLASSES.has(type.class)) return NULL_REF;
      const rows = [...xapi.db.table(type.class).values()];
      // The control domain is nobody's machine.
      const found = rows.find((row) => type.class !== 'VM' || !row.flag('is_control_domain'));
      return found?.ref ?? NULL_REF;
    }
    case 'set': {
      const one = plausible(server, type.of, name);
      return one === NULL_REF ? [] : [one];
    }
    case 'map':
      return {};
    case 'record':
      return Object.fromEntries(
        [...CLASSES.get(type.class ?? '')!.fields.values()]
          .filter(({ qualifier }) => qualifier !== 'RO')
          .map((field) => [field.name, plausible(server, field.type, field.name)]),
      );
    default:
      return `some ${name}`;
  }
}

export const argumentsOf = (server: Bed, message: Message): unknown[] =>
  message.parameters.map(({ type, name }) => plausible(server, type, name));
