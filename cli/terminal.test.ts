import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { openTerminal, splitAtEscape } from './terminal.ts';

const MODULE = JSON.stringify(new URL('./terminal.ts', import.meta.url).href);

/** Runs a program on a pseudo-terminal, with what `typed` holds sent once the program says "ready". */
async function onTerminal(program: string, typed = ''): Promise<string> {
  const script = `const { openTerminal } = await import(${MODULE}); const t = openTerminal(); ${program}`;
  const node = `'${process.execPath}' --input-type=module -e '${script.replaceAll("'", "'\\''")}'`;
  const shell = `stty -g; ${node}; echo code=$?; stty -g`;
  const child = spawn('script', ['-qec', shell, '/dev/null'], { env: { ...process.env, SHELL: '/bin/sh' } });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk;
    if (typed !== '' && output.includes('ready')) {
      child.stdin.write(typed);
      typed = '';
    }
  });
  await once(child, 'close');
  return output;
}

/** The terminal's settings before and after. */
const settings = (output: string): string[] => output.match(/^[0-9a-f]+(:[0-9a-f]+){10,}/gm) ?? [];

test('the escape key cuts the input', () => {
  const bytes = Buffer.from('ab\x1dcd');
  assert.deepEqual(splitAtEscape(bytes), { before: bytes.subarray(0, 2), escaped: true });
  assert.deepEqual(splitAtEscape(Buffer.from('ab')), { before: Buffer.from('ab'), escaped: false });
});

test('on a terminal: raw, Ctrl-C is input, Ctrl-] leaves', async () => {
  const output = await onTerminal(
    `t.onInput((b) => console.log("got " + Buffer.from(b).toString("hex")));
     t.onEscape(() => { t.close(); console.log("escaped"); });
     console.log("ready " + t.interactive);`,
    'x\x03\x1dy',
  );
  assert.match(output, /ready true/);
  assert.match(output, /got 7803\r*\n/);
  assert.match(output, /escaped\r*\ncode=0/);
  const [before, after] = settings(output);
  assert.equal(after, before);
});

test('the terminal is restored however the process ends', async () => {
  const endings: [string, RegExp][] = [
    ['process.exit(7)', /code=7/],
    ['setTimeout(() => { throw new Error("crash"); }, 1)', /code=1/],
    ['process.kill(process.pid, "SIGTERM"); setInterval(() => {}, 1000)', /code=143/],
    ['process.kill(process.pid, "SIGHUP"); setInterval(() => {}, 1000)', /code=129/],
    ['process.kill(process.pid, "SIGINT"); setInterval(() => {}, 1000)', /code=130/],
  ];
  await Promise.all(
    endings.map(async ([program, code]) => {
      const output = await onTerminal(`t.onInput(() => {}); ${program}`);
      assert.match(output, code, program);
      const [before, after] = settings(output);
      assert.ok(before, output);
      assert.equal(after, before, program);
    }),
  );
});

test('raw mode is really on in between', async () => {
  const output = await onTerminal(
    'const { execSync } = await import("node:child_process"); execSync("stty -a; echo; stty -g", { stdio: "inherit" });',
  );
  assert.match(output, /-icanon/);
  const [before, between, after] = settings(output);
  assert.notEqual(between, before);
  assert.equal(after, before);
});

test('without a terminal every byte passes, and a slow reader is felt', async () => {
  const input = new PassThrough();
  const output = new PassThrough({ highWaterMark: 8 });
  const terminal = openTerminal(input, output);
  const seen: number[] = [];
  let escaped = false;
  terminal.onInput((bytes) => seen.push(...bytes));
  terminal.onEscape(() => (escaped = true));
  input.write(Buffer.from([0, 0x1d, 3, 255]));
  await setImmediate();
  assert.deepEqual(seen, [0, 0x1d, 3, 255]);
  assert.equal(escaped, false);
  assert.equal(terminal.interactive, false);

  let drained = 0;
  terminal.onDrain(() => drained++);
  assert.equal(terminal.write(Buffer.alloc(4)), true);
  assert.equal(terminal.write(Buffer.alloc(16)), false);
  output.resume();
  await setImmediate();
  assert.equal(drained, 1);
  output.destroy(new Error('gone'));
  await setImmediate();
  assert.equal(drained, 2);
  assert.equal(terminal.write(Buffer.alloc(16)), true);
  terminal.close();
  terminal.close();
});

test('a reader that goes away ends nothing', () => {
  const program = `const { openTerminal } = await import(${MODULE}); const t = openTerminal();
    for (let i = 0; i < 100; i++) { t.write(Buffer.alloc(65536)); await new Promise((r) => setTimeout(r, 1)); }
    console.error('still here');`;
  const { stderr } = spawnSync('/bin/sh', ['-c', '"$0" --input-type=module -e "$1" | true', process.execPath, program]);
  assert.match(stderr.toString(), /still here/);
});

test('standard input that is a file is read to its end', async () => {
  const program = `const { openTerminal } = await import(${MODULE}); const t = openTerminal();
    t.onInput((b) => t.write(b));`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end('some input');
  assert.equal(await text(child.stdout), 'some input');
});
