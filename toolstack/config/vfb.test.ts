import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError } from './syntax.ts';
import { checkVfbs, isVfb, parseVfb, type VfbConfig } from './vfb.ts';

const PLAIN: VfbConfig = {
  ...{ vnc: true, listen: '127.0.0.1', display: undefined, unused: true, password: '', keymap: undefined },
};

test('frame buffers as in xl.cfg(5)', () => {
  const forms: [string, Partial<VfbConfig>][] = [
    ['', {}],
    ['vnc=1', {}],
    ['type=vnc,vncdisplay=3', { display: 3, unused: false }],
    ['vnc=1,vnclisten=0.0.0.0,vncdisplay=2,vncunused=1', { listen: '0.0.0.0', display: 2 }],
    ['vnclisten=0.0.0.0:4', { listen: '0.0.0.0', display: 4, unused: false }],
    ['vnclisten=::1', { listen: '::1' }],
    ['vncpasswd=secret,keymap=en-us,sdl=0,opengl=0', { password: 'secret', keymap: 'en-us' }],
    ['vnc=0', { vnc: false }],
  ];
  for (const [text, expected] of forms) {
    const vfb = parseVfb(text, assert.fail);
    assert.deepEqual(vfb, { ...PLAIN, ...expected }, text);
    assert.ok(isVfb(JSON.parse(JSON.stringify(vfb))), text);
  }
  const warnings: string[] = [];
  parseVfb('keymap=de,xauthority=/x,vncpasswd=longer than 8', (text) => warnings.push(text));
  assert.equal(warnings.length, 3);
});

test('what is wrong is said, without the password', () => {
  for (const [text, why] of [
    ['sdl=1', /no SDL window/],
    ['vnc=yes', /vnc is 0 or 1/],
    ['vncdisplay=70000', /vncdisplay is a number up to 59635/],
    ['vncdisplay=x', /vncdisplay is a number/],
    ['vnclisten=nowhere', /vnclisten is an address/],
    ['vncpasswd=hidden,type=spice', /vncpasswd=\.\.\.,type=spice': type is vnc/],
    ['vncpasswd=hidden,color=1', /nothing is known of 'color'/],
  ] as const)
    assert.throws(() => parseVfb(text), (error) => error instanceof ConfigError && why.test(error.message) && !error.message.includes('hidden'), text); // prettier-ignore
  assert.throws(() => checkVfbs(Array.from({ length: 5 }, () => PLAIN)), /4 frame buffers at most/);
  for (const bad of [null, {}, { ...PLAIN, display: -1 }, { ...PLAIN, listen: 'x' }, { ...PLAIN, password: 1 }])
    assert.equal(isVfb(bad), false);
});
