import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkP9s, isP9, parseP9, type P9Config } from './p9.ts';
import { ConfigError } from './syntax.ts';

const parse = (text: string): P9Config => parseP9(text, (path) => `/abs/${path}`);

test('shared folders as in xl.cfg(5)', () => {
  const plain = { tag: 'share', path: '/abs/x', readonly: false };
  assert.deepEqual(parse('tag=share,security_model=none,path=x'), plain);
  assert.deepEqual(parse(' tag = share , path = x , access=ro , backend=0'), { ...plain, readonly: true });
  assert.ok(isP9(JSON.parse(JSON.stringify(plain))));
});

test('what is wrong is said', () => {
  for (const [text, why] of [
    ['path=x', /tag= is missing/],
    ['tag=a b,path=x', /tag= is missing or none/],
    ['tag=a', /no path/],
    ['tag=a,path=x,security_model=mapped', /security_model is none, not 'mapped'/],
    ['tag=a,path=x,access=all', /access is ro or rw/],
    ['tag=a,path=x,backend=driver', /leave backend out/],
    ['tag=a,path=x,max-files=1', /nothing is known of 'max-files'/],
  ] as const)
    assert.throws(() => parse(text), (error) => error instanceof ConfigError && why.test(error.message), text); // prettier-ignore
  assert.throws(() => checkP9s([parse('tag=a,path=x'), parse('tag=a,path=y')]), /two folders have the tag a/);
  for (const bad of [null, {}, { tag: 'a', path: 'x', readonly: false }, { tag: 'a,b c', path: '/x', readonly: false }])
    assert.equal(isP9(bad), false);
});
