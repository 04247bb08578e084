import assert from 'node:assert/strict';
import { test } from 'node:test';
import { helpText, parseCommand, UsageError } from './options.ts';

test('defaults', () => {
  assert.deepEqual(parseCommand(['run', '--kernel', 'k']), {
    command: 'run',
    options: {
      kernel: 'k',
      initrd: undefined,
      cmdline: 'console=hvc0',
      memory: 256,
      name: 'guest',
      type: 'pvh',
      timeout: undefined,
      deterministic: false,
      stats: undefined,
      trace: [],
      traceFile: undefined,
      gdb: undefined,
      reboot: true,
    },
  });
  assert.deepEqual(parseCommand(['--help']), { command: 'help' });
  assert.deepEqual(parseCommand(['run', '-h']), { command: 'help' });
  assert.deepEqual(parseCommand(['--version']), { command: 'version' });
});

test('every option is read, and of two the last one counts', () => {
  const line =
    'run --kernel a --kernel b --initrd i --cmdline=x=1 --memory 128 --name n1 --type pvh --timeout 1.5 ' +
    '--deterministic --stats s.json --trace events,insn --trace events --trace xenstore --no-reboot --trace-file t.json --gdb 1234 --no-gdb-wait';
  const parsed = parseCommand(line.split(' '));
  assert.ok(parsed.command === 'run');
  assert.deepEqual(parsed.options, {
    kernel: 'b',
    initrd: 'i',
    cmdline: 'x=1',
    memory: 128,
    name: 'n1',
    type: 'pvh',
    timeout: 1.5,
    deterministic: true,
    stats: 's.json',
    trace: ['events', 'insn', 'xenstore'],
    traceFile: 't.json',
    gdb: { port: 1234, wait: false },
    reboot: false,
  });
});

test('symbols takes a kernel and a file', () => {
  assert.deepEqual(parseCommand('symbols --kernel k --out o'.split(' ')), {
    command: 'symbols',
    kernel: 'k',
    out: 'o',
  });
});

test('profile takes the options of run and its own', () => {
  const parsed = parseCommand(
    'profile --kernel k --hz 99 --out d --symbols a.elf --symbols b.elf@0x400000 --memory 64'.split(' '),
  );
  assert.ok(parsed.command === 'profile');
  assert.equal(parsed.options.memory, 64);
  assert.deepEqual(parsed.profile, {
    out: 'd',
    hz: 99,
    symbols: [
      { file: 'a.elf', base: 0n },
      { file: 'b.elf', base: 0x400000n },
    ],
  });
});

test('what is not understood is one sentence', () => {
  const lines: [string, RegExp][] = [
    ['', /No command/],
    ['walk', /no command 'walk'/],
    ['run', /--kernel is missing/],
    ['run --kernel', /--kernel needs a value/],
    ['run --kernel k --memory -5', /--memory needs a value .*--memory=VALUE/],
    ['run --kernel k --memory 15', /--memory/],
    ['run --kernel k --colour red', /Unknown option '--colour'/],
    ['run --kernel k extra', /'extra'/],
    ['run --kernel k --memory', /--memory/],
    ['run --kernel k --memory 0', /--memory takes a whole number from 16 to 3072, not '0'/],
    ['run --kernel k --memory 1.5', /--memory/],
    ['run --kernel k --memory 3073', /--memory/],
    ['run --kernel k --memory 0x80', /--memory/],
    ['run --kernel k --timeout -1', /--timeout/],
    ['run --kernel k --timeout soon', /--timeout/],
    ['run --kernel k --type hvm', /--type takes pvh or pv, not 'hvm'/],
    ['run --kernel k --name a/b', /--name/],
    ['run --kernel k --trace all', /--trace takes hypercalls, .*not 'all'/],
    ['run --kernel k --deterministic=1', /--deterministic/],
    ['run --kernel k --gdb 65536', /--gdb/],
    ['run --kernel k --hz 99', /Unknown option '--hz'/],
    ['profile --kernel k --hz 0', /--hz/],
    ['symbols --kernel k', /--out is missing/],
    ['symbols --kernel k --out o --memory 3', /Unknown option '--memory'/],
  ];
  for (const [line, message] of lines) {
    assert.throws(
      () => parseCommand(line.split(' ').filter((word) => word !== '')),
      (error: Error) => error instanceof UsageError && message.test(error.message) && !error.message.includes('\n'),
      line,
    );
  }
});

test('the help names every option within the width of a terminal', () => {
  for (const name of ['kernel', 'initrd', 'memory', 'timeout', 'stats', 'trace', 'no-reboot', 'help']) {
    assert.match(helpText(), new RegExp(`--${name}\\b`));
  }
  for (const line of helpText().split('\n')) assert.ok(line.length <= 120, line);
});
