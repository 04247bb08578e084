import assert from 'node:assert/strict';
import { test } from 'node:test';
import { random } from '../../services/xenstore/testing.ts';
import { ConfigError, parseNumber, parseSettings } from './syntax.ts';

const complaints = (text: string): readonly string[] => {
  try {
    parseSettings(text, 'f.cfg');
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.complaints;
  }
  return [];
};

test('assignments: strings in either quotes, numbers of any base, lists, comments, semicolons', () => {
  const s = parseSettings(
    `# a guest
name = "one" # its name
kernel='/boot/vmlinuz' ; memory = 0x40 ; vcpus=010
extra = "console=hvc0 quiet"
empty = ""; none = []
list = [ "a", 'b',
         3,   # with an end of line
       ]
nested = [ [ "x" ], "y" ]
memory = 96`,
    'f.cfg',
  );
  assert.equal(s.string('name'), 'one');
  assert.equal(s.string('kernel'), '/boot/vmlinuz');
  assert.equal(s.number('memory'), 96, 'the last one counts');
  assert.equal(s.number('vcpus'), 8);
  assert.equal(s.string('extra'), 'console=hvc0 quiet');
  assert.deepEqual([s.string('empty'), s.list('none')], ['', []]);
  assert.deepEqual(s.list('list'), ['a', 'b', '3']);
  assert.equal(s.get('nested')?.kind, 'list');
  assert.equal(s.string('absent'), undefined);
  assert.deepEqual(s.warnings, []);
});

test('escapes in strings, and quotes of the other kind', () => {
  const s = parseSettings(String.raw`a = "tab\tquote\" \\ \x41\101" ; b = 'it\'s "so"'`, 'f.cfg');
  assert.equal(s.string('a'), 'tab\tquote" \\ AA');
  assert.equal(s.string('b'), `it's "so"`);
  assert.match(complaints(String.raw`a = "\q"`)[0]!, /f\.cfg:1: .*near `\\q': unknown character after a backslash/);
});

test('+= adds to a list or a string, and starts one', () => {
  const s = parseSettings('disk = ["a"]\ndisk += ["b", "c"]\nextra="x"\nextra += " y"\nnew += ["z"]', 'f.cfg');
  assert.deepEqual(s.list('disk'), ['a', 'b', 'c']);
  assert.equal(s.string('extra'), 'x y');
  assert.deepEqual(s.list('new'), ['z']);
  assert.match(complaints('a = "x"\na += ["y"]')[0]!, /:2: .*a list cannot be added to a string/);
});

test('a value of the wrong kind is a warning with its line', () => {
  const s = parseSettings('memory = "lots"\nname = ["a"]\ndisk = "a"', 'f.cfg');
  assert.deepEqual([s.number('memory'), s.string('name'), s.list('disk')], [undefined, undefined, undefined]);
  assert.deepEqual(s.warnings, [
    "f.cfg:1: warning: parameter `memory' is not a valid number",
    "f.cfg:2: warning: parameter `name' is a list but should be a single string",
    "f.cfg:3: warning: parameter `disk' is a single string but should be a list",
  ]);
});

test('each mistake has its file, line and place; reading goes on behind it', () => {
  assert.deepEqual(complaints('name = "bad"\nkernel = /boot/vmlinuz\nmemory = 64'), [
    "f.cfg:2: config parsing error near `/boot/vmlinuz': lexical error",
  ]);
  assert.deepEqual(complaints('name = "bad\nkernel = "x"'), [
    'f.cfg:1: config parsing error near `"bad\': lexical error',
  ]);
  assert.deepEqual(complaints('name = "bad"\nkernel "/boot/vmlinuz"\nmemory = = 64\n'), [
    "f.cfg:2: config parsing error near `\"/boot/vmlinuz\"': syntax error, unexpected STRING, expecting '+=' or '='",
    "f.cfg:3: config parsing error near `=': syntax error, unexpected '=', expecting STRING or NUMBER or '['",
  ]);
  assert.match(complaints('vif = [ "a", \nmemory = 64')[0]!, /:2: .*near `memory'.*unexpected IDENT/);
  assert.match(complaints('memory = -5')[0]!, /near `-5': lexical error/);
  assert.match(complaints('memory = 64.5')[0]!, /near `.5': lexical error/);
  assert.match(complaints('Memory = 64')[0]!, /near `M': lexical error/);
  assert.match(complaints('a = [')[0]!, /near `end of file'/);
  assert.match(complaints(`a = ${'['.repeat(40)}`)[0]!, /nested more than/);
});

test('numbers as strtoul reads them', () => {
  assert.deepEqual(['10', '0x1F', '010', '0'].map(parseNumber), [10, 31, 8, 0]);
  assert.deepEqual(
    ['', '1x', '0x', '08', '-1', '1e3', '99999999999999999999'].map(parseNumber),
    Array(7).fill(undefined),
  );
});

test('fuzz: any text is read or refused with a place', () => {
  const next = random(2024);
  const parts = [
    'name',
    '=',
    '+=',
    '"a b"',
    "'c'",
    '7',
    '[',
    ']',
    ',',
    ';',
    '\n',
    '#x\n',
    ' ',
    '\\',
    '"',
    '-3',
    '\0',
    'é',
  ];
  for (let i = 0; i < 20_000; i++) {
    const text = Array.from({ length: next(12) }, () => parts[next(parts.length)]).join(next(2) ? ' ' : '');
    for (const line of complaints(text)) assert.match(line, /^f\.cfg:\d+: config parsing error near `/);
  }
});
