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
    '--deterministic --stats s.json --trace events,insn --trace events --trace xenstore --no-reboot';
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
    reboot: false,
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
    ['run --kernel k --type hvm', /--type takes pvh/],
    ['run --kernel k --name a/b', /--name/],
    ['run --kernel k --trace all', /--trace takes hypercalls, .*not 'all'/],
    ['run --kernel k --deterministic=1', /--deterministic/],
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
