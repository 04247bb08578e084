// `xl` from its command line to its exit code.
import { Xl, type GlobalOptions, type Io } from './context.ts';
import { VERBS } from './verbs.ts';
import { Failure, Misuse, readArguments, USAGE, verbHelp, type Verb } from './verb.ts';

function overview(): string {
  const width = Math.max(...VERBS.map(({ name }) => name.length)) + 2;
  return [
    'Usage: xl [-vfNtT] <subcommand> [args]',
    '',
    'Subcommands; `xl help SUBCOMMAND` says more of one:',
    '',
    ...VERBS.map(({ name, about }) => ` ${name.padEnd(width)}${about}`),
    '',
  ].join('\n');
}

/** A verb by its name or the beginning of it that no other verb has. */
export function findVerb(name: string): Verb | undefined {
  const exact = VERBS.find((verb) => verb.name === name);
  if (exact) return exact;
  const found = VERBS.filter((verb) => verb.name.startsWith(name));
  return found.length === 1 ? found[0] : undefined;
}

/** The options before the verb, and what is left. */
function globalOptions(argv: string[]): { global: GlobalOptions; rest: string[]; help: boolean } {
  const global: GlobalOptions = { verbose: 0, force: false, dryRun: false };
  let at = 0;
  for (; at < argv.length && argv[at]!.startsWith('-'); at++) {
    if (argv[at] === '--help') return { global, rest: [], help: true };
    for (const letter of argv[at]!.slice(1)) {
      if (letter === 'v') global.verbose++;
      else if (letter === 'f') global.force = true;
      else if (letter === 'N') global.dryRun = true;
      else if (letter === 'h') return { global, rest: [], help: true };
      // -t and -T are about the look of progress messages: there are none.
      else if (letter !== 't' && letter !== 'T')
        throw new Failure(`xl: there is no option '${letter}' before the subcommand: \`xl help\` shows what there is.`);
    }
  }
  return { global, rest: argv.slice(at), help: false };
}

function help(io: Io, names: string[]): number {
  if (names.length === 0) {
    io.out(overview());
    return 0;
  }
  const verb = findVerb(names[0]!);
  if (!verb) throw new Failure(`xl: there is no subcommand '${names[0]}': \`xl help\` shows what there is.`);
  io.out(verbHelp(verb));
  return 0;
}

async function carryOut(xl: Xl, verb: Verb, argv: string[]): Promise<number> {
  const given = readArguments(verb, argv);
  if (given === 'help') {
    xl.io.out(verbHelp(verb));
    return 0;
  }
  return verb.run(xl, given);
}

/** The whole command: `argv` is what follows its name. */
export async function runXl(argv: string[], io: Io): Promise<number> {
  let xl: Xl | undefined;
  let verb: Verb | undefined;
  try {
    const { global, rest, help: wanted } = globalOptions(argv);
    const [name, ...args] = rest;
    if (wanted) return help(io, []);
    if (name === undefined) {
      io.out(overview());
      return 1;
    }
    if (name === 'help') return help(io, args);
    verb = findVerb(name);
    if (!verb)
      throw new Failure(
        `xl: there is no subcommand '${name}' (command not implemented): \`xl help\` shows what there is.`,
      );
    xl = new Xl(global, io);
    return await carryOut(xl, verb, args);
  } catch (error) {
    if (error instanceof Misuse) {
      io.out(verbHelp(verb!));
      io.err(`${error.message}\n\n`);
      return USAGE;
    }
    const failure = error instanceof Failure ? error : new Failure(`xl: ${(error as Error).message}`);
    if (failure.message !== '') io.err(`${failure.message}\n`);
    return failure.exit;
  } finally {
    xl?.close();
  }
}
