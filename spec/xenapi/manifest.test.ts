import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { CLASSES, classOf, ENUMS, MESSAGES } from './index.ts';
import { LINKS } from './links.ts';
import { manifest } from './manifest.ts';
import { REMOVED } from './removed.ts';
import { typeText, type Type } from './types.ts';

/** What the published data model, of 24.10, does not have yet, or hides. */
const NEWER = [
  ...['VM_group', 'Host_driver', 'Driver_variant', 'Diagnostics', 'Caller', 'Rate_limit'],
  ...['VM.groups', 'VM.get_groups', 'VM.set_groups', 'VM.set_uefi_mode', 'VM.get_secureboot_readiness'],
  ...['VM.uefi_mode', 'VM.secureboot_readiness', 'SM.host_pending_features', 'SM.get_host_pending_features'],
  ...['SM.supported_image_formats', 'SM.get_supported_image_formats'],
];
const subject = (line: string): string => /^\w+ ([\w.]+)/.exec(line)![1];
const isNewer = (line: string): boolean => {
  const name = subject(line);
  // Every class has this one, though the published lists leave it out but for messages.
  if (name.endsWith('.get_all_records_where') && line.startsWith('implicit')) return true;
  return NEWER.some((each) => each === name || (!each.includes('.') && name.startsWith(`${each}.`)));
};

test('the tables say what the published data model says', () => {
  const published = JSON.parse(readFileSync(new URL('manifest.json', import.meta.url), 'utf8')) as string[];
  const ours = manifest();
  assert.equal(new Set(ours).size, ours.length);
  const compared = ours.filter((line) => !isNewer(line));
  const missing = new Set(published).difference(new Set(compared));
  const added = new Set(compared).difference(new Set(published));
  assert.deepEqual({ missing: [...missing], added: [...added] }, { missing: [], added: [] });
  assert.ok(published.length > 2600);
  for (const name of NEWER)
    assert.ok(
      ours.some((line) => subject(line) === name),
      name,
    );
});

function* namesIn(type: Type): Generator<string> {
  if (type.kind === 'ref') yield type.class;
  else if (type.kind === 'enum') yield `enum ${type.name}`;
  else if (type.kind === 'record' && type.class) yield type.class;
  else if (type.kind === 'set' || type.kind === 'option') yield* namesIn(type.of);
  else if (type.kind === 'map') for (const part of [type.key, type.value]) yield* namesIn(part);
}

test('types name classes and enums that there are, or were', () => {
  const known = (name: string) =>
    name.startsWith('enum ') ? ENUMS.has(name.slice(5)) : CLASSES.has(name) || name in REMOVED;
  for (const { name, fields } of CLASSES.values())
    for (const field of fields.values())
      for (const each of namesIn(field.type)) assert.ok(known(each), `${name}.${field.name}: ${each}`);
  for (const [name, { parameters, result }] of MESSAGES)
    for (const { type } of [...parameters, { type: result }])
      for (const each of namesIn(type)) assert.ok(known(each), `${name}: ${each}`);
});

test('a default is one of the values of its enum', () => {
  for (const { name, fields } of CLASSES.values())
    for (const { name: field, type, default: value } of fields.values())
      if (type.kind === 'enum' && value !== undefined)
        assert.ok(ENUMS.get(type.name)!.includes(value as string), `${name}.${field} = ${value as string}`);
});

test('both ends of a relation are there, with the types that it needs', () => {
  const ends = new Set<string>();
  for (const link of LINKS) {
    const from = classOf(link.class).fields.get(link.field);
    const back = classOf(link.to).fields.get(link.back);
    const name = `${link.class}.${link.field} ${link.to}.${link.back}`;
    assert.ok(from && back, name);
    assert.equal(typeText(from.type), `${link.to} ref${link.many ? ' set' : ''}`, name);
    assert.equal(typeText(back.type), `${link.class} ref set`, name);
    for (const end of [`${link.class}.${link.field}`, `${link.to}.${link.back}`]) {
      assert.ok(!ends.has(end), `${end} is there twice`);
      ends.add(end);
    }
  }
});

test('what is removed is not there as well', () => {
  for (const [name, messages] of Object.entries(REMOVED))
    for (const message of messages.split(' ')) assert.ok(!MESSAGES.has(`${name}.${message}`), `${name}.${message}`);
});

test('enums of one name have the same values everywhere', () => {
  for (const { name, enums } of CLASSES.values())
    for (const [title, values] of enums) assert.deepEqual(values, ENUMS.get(title), `${name}.${title}`);
});

test('words are short and plain', () => {
  for (const { name, about, fields, messages } of CLASSES.values())
    for (const [part, text] of [
      [name, about],
      ...[...fields.values()].map((field) => [field.name, field.about]),
      ...[...messages.values()].map((message) => [message.name, message.about]),
    ])
      assert.ok(text.length > 2 && text.length < 100 && !/[.;]$/.test(text), `${name}.${part}: ${text}`);
});
