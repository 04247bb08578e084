// A real debugger, and a made-up one, on the unikernel.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { buildGuest } from '../../guests/build.ts';
import { regionCounts } from '../../platform/regions.ts';
import { REGISTERS } from '../../services/gdb/protocol/registers.ts';
import { readSymbols } from '../../services/symbols/protocol/files.ts';
import { need } from '../../tools/apt.ts';
import { Client, debugged } from './guest.ts';

const folder = mkdtempSync(join(tmpdir(), 'xenolith-gdb-'));
after(() => rmSync(folder, { recursive: true }));
before(() => need('gcc', 'gdb'));

/** What gdb prints when it carries the commands out on the guest at `port`. */
async function gdb(port: number, commands: string[]): Promise<string> {
  const script = join(folder, `${port}.gdb`);
  const all = ['set pagination off', 'set confirm off', `target remote 127.0.0.1:${port}`, ...commands];
  writeFileSync(script, `${all.join('\n')}\n`);
  const child = spawn('gdb', ['-q', '-nx', '-batch', '-x', script, buildGuest('unikernel')], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 50_000,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes: Buffer) => (output += bytes.toString()));
  await once(child, 'close');
  return output;
}

const symbol = (name: string): bigint => readSymbols(readFileSync(buildGuest('unikernel')))!.address(name)!;
const hex = (value: bigint): string => value.toString(16);

for (const deterministic of [false, true])
  test(`gdb: breakpoints, steps, registers, memory, watchpoints${deterministic ? ', in virtual time' : ''}`, async () => {
    const guest = await debugged('test=all', { deterministic });
    const output = await gdb(guest.port, [
      'printf "start %d\\n", $pc == (unsigned long)&_start',
      'monitor mode',
      'monitor x 3',
      'break guest_main',
      'continue',
      'printf "main %d\\n", $pc == (unsigned long)&guest_main',
      'monitor mode',
      'set $before = $pc',
      'stepi',
      'printf "step %d\\n", $pc > $before && $pc < $before + 16',
      'set $saved = $rax',
      'set $rax = 0x123456789abcdef0',
      'printf "rax %lx\\n", $rax',
      'set $rax = $saved',
      'set $xmm7.v2_int64[1] = 77',
      'printf "xmm %d\\n", $xmm7.v2_int64[1]',
      'set $eflags |= 1',
      'printf "carry %d\\n", $eflags & 1',
      // below the stack, where nothing is kept yet
      'set *(long *)($rsp - 512) = 0x5a5a',
      'printf "memory %lx\\n", *(long *)($rsp - 512)',
      'watch *(int *)&passed',
      'continue',
      'continue',
      'printf "passed %d\\n", *(int *)&passed',
      'delete',
      'rwatch *(int *)&failed',
      'continue',
      'delete',
      'hbreak power',
      'continue',
      'printf "failed %d\\n", *(int *)&failed',
      'continue',
    ]);
    await guest.ended;
    assert.match(output, /^start 1$/m, output);
    assert.match(output, /vCPU 0: 32-bit code, paging off, cpl 0/);
    assert.match(output, /fc +cld\s+0x[0-9a-f]+ +bc[0-9a-f]{8} +mov esp, 0x/);
    assert.match(output, /Breakpoint 1, .* guest_main/);
    assert.match(output, /^main 1$/m);
    assert.match(output, /vCPU 0: 64-bit code, paging on, cpl 0/);
    assert.match(output, /^step 1$/m);
    assert.match(output, /^rax 123456789abcdef0$/m);
    assert.match(output, /^xmm 77$/m);
    assert.match(output, /^carry 1$/m);
    assert.match(output, /^memory 5a5a$/m);
    assert.match(output, /Old value = 1\s+New value = 2/);
    assert.match(output, /^passed 2$/m);
    assert.match(output, /Hardware read watchpoint 3[\s\S]*Value = 0/);
    assert.match(output, /Breakpoint 4, .* power/);
    assert.match(output, /^failed 0$/m);
    assert.match(output, /exited normally/);
    // Nothing of it has disturbed the guest: its own checks of time and events hold.
    assert.equal(guest.outcome(), 'poweroff');
    assert.match(guest.output(), /done 2\d\d passed, 0 failed/);
  });

test('gdb: a crash can be looked at', async () => {
  const guest = await debugged('crash=exception');
  const output = await gdb(guest.port, ['continue', 'x/i $pc', 'printf "stack %d\\n", $rsp > 0x100000']);
  await guest.ended;
  assert.equal(guest.outcome(), 'crash');
  assert.match(output, /SIGSEGV/);
  assert.match(output, /^stack 1$/m);
});

test('an endless loop is interrupted, stepped, detached from, and killed', async () => {
  const guest = await debugged('loop', { wait: false });
  const client = await Client.connect(guest.port);
  const pc = async (): Promise<bigint> => {
    const index = REGISTERS.findIndex(({ name }) => name === 'rip');
    return Buffer.from(await client.ask(`p${index.toString(16)}`), 'hex').readBigUInt64LE();
  };
  let at = 0n;
  for (let tries = 0; tries < 100 && !(at >= symbol('crash') && at < symbol('crash') + 0x1000n); tries++) {
    client.raw('$c#63');
    await new Promise((resolve) => setTimeout(resolve, 50));
    client.raw('\x03');
    assert.match(await client.reply(), /^T02thread:1;/);
    at = await pc();
  }
  // pause; jmp: two steps come back
  assert.match(await client.ask('s'), /^T05/);
  assert.notEqual(await pc(), at);
  assert.match(await client.ask('s'), /^T05/);
  assert.equal(await pc(), at);
  // stopped on a breakpoint on itself, it goes once round
  assert.equal(await client.ask(`Z0,${hex(at)},1`), 'OK');
  assert.match(await client.ask('c'), /swbreak/);
  assert.match(await client.ask('s'), /^T05/);
  assert.match(await client.ask('c'), /swbreak/);
  assert.equal(await client.ask('D'), 'OK');
  client.close();
  await new Promise((resolve) => setTimeout(resolve, 50));
  const other = await Client.connect(guest.port);
  assert.match(await other.ask('?'), /^T/);
  other.raw('$k#6b');
  await guest.ended;
  assert.equal(guest.killed(), true);
});

test('a breakpoint in translated code stops at every round, and the code runs on as before', async () => {
  const guest = await debugged('spin=2000', { deterministic: true, wait: false });
  const client = await Client.connect(guest.port);
  const registers = async (): Promise<bigint[]> => {
    const all = Buffer.from(await client.ask('g'), 'hex');
    return REGISTERS.slice(0, 17).map((_, i) => all.readBigUInt64LE(8 * i));
  };
  const entries = (): number => regionCounts(guest.machine.core, 0).entries;
  const interrupted = async (): Promise<bigint> => {
    client.raw('$c#63');
    await new Promise((resolve) => setTimeout(resolve, 50));
    client.raw('\x03');
    assert.match(await client.reply(), /^T02/);
    return (await registers())[16]!;
  };
  const spin = symbol('spin');
  let pc = 0n;
  for (let tries = 0; tries < 100 && !(entries() > 100 && pc >= spin && pc < spin + 0x100n); tries++)
    pc = await interrupted();
  assert.ok(entries() > 100, 'the loop is translated');
  // once round by steps: the first address that comes again is the loop's
  const seen = new Set<bigint>();
  for (; !seen.has(pc); pc = (await registers())[16]!) {
    seen.add(pc);
    assert.match(await client.ask('s'), /^T05/);
  }
  assert.equal(await client.ask(`Z0,${hex(pc)},1`), 'OK');
  assert.match(await client.ask('c'), /swbreak/);
  const rounds: bigint[][] = [];
  for (let i = 0; i < 5; i++) {
    rounds.push(await registers());
    assert.match(await client.ask('s'), /^T05/); // as debuggers do, which take the breakpoint away meanwhile
    assert.match(await client.ask('c'), /swbreak/);
  }
  const counters = REGISTERS.slice(0, 16).filter((_, k) =>
    rounds.every((r, i) => i === 0 || r[k] === rounds[i - 1]![k]! + 1n),
  );
  assert.equal(counters.length, 1, 'one register counts the rounds');
  assert.equal(await client.ask(`z0,${hex(pc)},1`), 'OK');
  const before = entries();
  for (let tries = 0; tries < 100 && entries() < before + 100; tries++) await interrupted();
  assert.ok(entries() >= before + 100, 'it is translated again');
  client.raw('$k#6b');
  await guest.ended;
});

test('rubbish on the port harms nobody; a connection that is cut off lets the guest go on', async () => {
  const guest = await debugged('test=all');
  const client = await Client.connect(guest.port);
  let x = 7;
  const next = (below: number): number => ((x = (Math.imul(x, 1103515245) + 12345) >>> 0) >>> 8) % below;
  // without # and Ctrl-C nothing of it is a packet
  for (let i = 0; i < 200; i++) client.raw(Uint8Array.from({ length: 1 + next(300) }, () => next(256) & ~3));
  client.raw('$?#3f');
  for (;;) if (/^T05/.test(await client.reply())) break;
  assert.equal(await client.ask(`Z0,${hex(symbol('guest_main'))},1`), 'OK');
  assert.match(await client.ask('c'), /swbreak/);
  const second = await Client.connect(guest.port);
  client.close();
  await guest.ended;
  second.close();
  assert.equal(guest.outcome(), 'poweroff');
  assert.match(guest.output(), /done 2\d\d passed, 0 failed/);
});
