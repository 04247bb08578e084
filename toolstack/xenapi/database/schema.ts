/** What the database knows of a class: all of it follows from the tables in spec/xenapi. */
import { CLASSES } from '../../../spec/xenapi/index.ts';
import { LINKS, type Link } from '../../../spec/xenapi/links.ts';
import type { Class, Field } from '../../../spec/xenapi/notation.ts';
import { zero, type Value } from '../../../spec/xenapi/types.ts';

export interface Schema {
  name: string;
  class: Class;
  /** Clients are told of changes under this name. */
  eventName: string;
  fields: readonly Field[];
  /** Fields that follow from other rows, and are not stored. */
  derived: ReadonlySet<string>;
  stored: readonly string[];
  /** Kept ends of relations, by field. */
  links: ReadonlyMap<string, Link>;
  /** Where others refer to this class, as relations. */
  backLinks: readonly Link[];
  /** Kept fields that refer to objects. */
  references: readonly string[];
  transient: boolean;
}

/** What a field begins with: its default, or what its type has by nature. */
export function initial(field: Field): Value {
  if (field.default !== undefined) return field.default;
  return zero(field.type);
}

const refersTo = ({ type }: Field): boolean => type.kind === 'ref' || (type.kind === 'set' && type.of.kind === 'ref');

function schemaOf(each: Class): Schema {
  const fields = [...each.fields.values()];
  const links = new Map(LINKS.filter((link) => link.class === each.name).map((link) => [link.field, link]));
  const backLinks = LINKS.filter((link) => link.to === each.name);
  const derived = new Set(backLinks.map(({ back }) => back));
  const kept = fields.filter(({ name }) => !derived.has(name));
  return {
    ...{ name: each.name, class: each, eventName: each.name.toLowerCase(), fields, derived, links, backLinks },
    stored: kept.map(({ name }) => name),
    references: kept.filter(refersTo).map(({ name }) => name),
    transient: each.transient,
  };
}

/** Classes with objects in the database. */
export const SCHEMAS: ReadonlyMap<string, Schema> = new Map(
  [...CLASSES.values()]
    .filter(({ kind, fields }) => kind !== 'value' && fields.has('uuid'))
    .map((each) => [each.name, schemaOf(each)]),
);

/** Of these nobody is told: they are a client's own, or secret. */
const SILENT = new Set(['session', 'secret', 'user', 'role']);

/** Classes by the name under which events tell of them. */
export const EVENT_CLASSES: ReadonlyMap<string, Schema> = new Map(
  [...SCHEMAS.values()].filter(({ name }) => !SILENT.has(name)).map((schema) => [schema.eventName, schema]),
);
