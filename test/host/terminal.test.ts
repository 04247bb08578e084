// `xl top` and `xl console` on a terminal: keys work, and the terminal is as it was afterwards.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ROOT } from '../../bin/setup.cjs';
import { Bed, until } from './bed.ts';

const b = new Bed();
before(async () => {
  await b.up();
  await b.create('burn', { extra: 'loop' });
});
after(() => b.close());

/** Runs `xl` on a pseudo terminal, with the terminal's settings before and behind it; `type` is called once `ready` is seen. */
async function onTerminal(args: string, ready: RegExp, keys: readonly string[]): Promise<string> {
  const xl = `"$NODE" "$XL" ${args}`;
  const env = { ...b.env, NODE: process.execPath, XL: join(ROOT, 'cli/xl/main.ts') };
  const shell = `stty rows 20 cols 100; echo before=$(stty -g); ${xl}; echo code=$?; echo after=$(stty -g)`;
  const child = spawn('script', ['-qec', shell, '/dev/null'], { env, stdio: ['pipe', 'pipe', 'inherit'] });
  let seen = '';
  child.stdout.on('data', (bytes: Buffer) => (seen += bytes.toString()));
  const ended = once(child, 'close');
  await until(() => ready.test(seen), `${args}: ${seen}`);
  for (const key of keys) {
    const before = seen.length;
    child.stdin.write(key);
    await until(() => seen.length > before, `something after ${JSON.stringify(key)}`);
  }
  await ended;
  const [, was] = /before=(\S+)/.exec(seen)!;
  const [, is] = /after=(\S+)/.exec(seen)!;
  assert.equal(is, was, 'the terminal is as it was');
  assert.match(seen, /code=0/);
  return seen;
}

test('top: a screen that keys change, until q', async () => {
  const seen = await onTerminal('top -d 1', /burn -----[r-]/, ['s', 'v', 'n', 'q']);
  assert.match(seen, /^xl top|xl top - \d\d:\d\d:\d\d {3}Xen 4\.17/m);
  assert.match(seen, /2 domains: [12] running, 0 blocked/);
  assert.match(seen, /sorted by cpu, every 1 s[\s\S]*sorted by mem, every 1 s/);
  assert.match(seen, /VCPUs\(sec\): {3}0:/);
  assert.match(seen, /q quit/);
  // No line is wider than the terminal.
  const screen = seen.slice(seen.lastIndexOf('\x1b[H'), seen.lastIndexOf('\x1b[J'));
  for (const line of screen.replace(/\x1b\[[?\d]*[a-zA-Z]/g, '').split(/\r*\n/)) assert.ok(line.length <= 100, line);
});

test('console: left by Ctrl-], the guest runs on', async () => {
  const seen = await onTerminal('console burn', /timer\.bind_virq/, ['\x1d']);
  assert.match(seen, /xenolith unikernel: loop/);
  assert.match(await b.ok('list', 'burn'), / [r-]-----/);
});
