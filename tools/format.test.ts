import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatted } from './format.ts';

test('AssemblyScript is formatted and keeps its decorators', async () => {
  const text = `@inline export function f( a:u32 ):u64{return (<u64>a)<<3}
@unmanaged export class Foo { @inline get x(): u32 { return load<u32>(changetype<usize>(this), 4); } }
`;
  const wanted = `@inline export function f(a: u32): u64 {
  return (<u64>a) << 3;
}
@unmanaged export class Foo {
  @inline get x(): u32 {
    return load<u32>(changetype<usize>(this), 4);
  }
}
`;
  assert.equal(await formatted('core/a.ts', text), wanted);
  assert.equal(await formatted('core/a.ts', wanted), wanted);
});

test('other files are formatted as they are, foreign ones not at all', async () => {
  assert.equal(await formatted('cli/a.ts', 'const a="x"'), "const a = 'x';\n");
  assert.equal(await formatted('guests/unikernel/main.c', 'int  main ;'), undefined);
  assert.equal(await formatted('README.md', '*  x'), undefined);
});
