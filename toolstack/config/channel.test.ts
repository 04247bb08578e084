import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkChannels, isChannel, parseChannel, type ChannelConfig } from './channel.ts';
import { ConfigError } from './syntax.ts';

const parse = (text: string): ChannelConfig => parseChannel(text, (path) => `/abs/${path}`);

test('channels as in xl.cfg(5)', () => {
  assert.deepEqual(parse('connection=pty,name=a'), { name: 'a', connection: 'pty', path: undefined });
  const socket = parse(' name = org.x , connection = SOCKET , path = s ');
  assert.deepEqual(socket, { name: 'org.x', connection: 'socket', path: '/abs/s' });
  assert.ok([parse('connection=pty,name=a'), socket].every((each) => isChannel(JSON.parse(JSON.stringify(each)))));
});

test('what is wrong is said', () => {
  for (const [text, why] of [
    ['', /no name/],
    ['name=a', /connection is missing/],
    ['name=a,connection=tcp', /pty or socket, not 'tcp'/],
    ['name=a,connection=socket', /needs path=/],
    ['name=a,connection=pty,path=/x', /a pty has no path/],
    ['name=a,connection=pty,color=red', /nothing is known of 'color'/],
    ['name=a,name=b,connection=pty', /name is given twice/],
    ['name=a\x01,connection=pty', /printable/],
    ['name=a,connection=pty,backend=driver', /leave backend out/],
  ] as const)
    assert.throws(() => parse(text), (error) => error instanceof ConfigError && why.test(error.message), text); // prettier-ignore
  assert.throws(() => checkChannels([parse('name=a,connection=pty'), parse('name=a,connection=pty')]), /two channels have the name a/); // prettier-ignore
  assert.throws(() => checkChannels(Array.from({ length: 10 }, (_, i) => parse(`name=n${i},connection=pty`))), /9 channels at most/); // prettier-ignore
  for (const bad of [null, 1, {}, { name: 'a' }, { name: 'a', connection: 'socket', path: 'relative' }, { name: 'a', connection: 'pty', path: '/x' }]) // prettier-ignore
    assert.equal(isChannel(bad), false);
});
