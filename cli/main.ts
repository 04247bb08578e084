// The program: reads the command line and carries it out.
import './parent.ts';
import { readFileSync } from 'node:fs';
import { EXIT, helpText, parseCommand, UsageError } from './options.ts';

type Command = (args: string[]) => Promise<number>;
const host: Command = async (args) => (await import('./host/main.ts')).hostCommand(args);
const manage: Command = async (args) => (await import('./host/user.ts')).manage(args);

/** Commands with options of their own, each loaded when it is asked for. */
const COMMANDS = new Map<string, Command>(
  Object.entries({
    up: host,
    down: host,
    status: host,
    simulate: async (args) => (await import('./host/simulate.ts')).simulate(args.slice(1)),
    image: async (args) => (await import('./image/main.ts')).imageCommand(args.slice(1)),
    net: async (args) => (await import('./net/main.ts')).netCommand(args),
    service: async (args) => (await import('./host/service.ts')).serviceCommand(args.slice(1)),
    user: manage,
    xe: async (args) => {
      const { runXe, standardIo } = await import('./xe/run.ts');
      return runXe(args.slice(1), standardIo());
    },
    database: manage,
  }),
);

async function main(): Promise<number> {
  const args = process.argv.slice(2);
  const command = COMMANDS.get(args[0] ?? '');
  if (command) return command(args);
  const parsed = parseCommand(args);
  switch (parsed.command) {
    case 'help':
      process.stdout.write(helpText());
      return 0;
    case 'version': {
      const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
        version: string;
      };
      process.stdout.write(`xenolith ${version}\n`);
      return 0;
    }
    case 'symbols':
      return (await import('./symbols.ts')).writeSymbols(parsed.kernel, parsed.out);
    case 'profile':
      return (await import('./run.ts')).run(parsed.options, parsed.profile);
    default:
      return (await import('./run.ts')).run(parsed.options); // most of the program: not for `--help`
  }
}

/** Ends when both streams have been read; whatever else is waiting (a timer, the terminal) must not keep a finished program. */
function end(code: number): void {
  process.stderr.write('', () => process.stdout.write('', () => process.exit(code)));
}

process.stderr.on('error', () => {}); // its reader has gone: the guest runs on
try {
  end(await main());
} catch (error) {
  process.stderr.write(`xenolith: ${(error as Error).message}\n`);
  end(error instanceof UsageError ? EXIT.usage : EXIT.failed);
}
