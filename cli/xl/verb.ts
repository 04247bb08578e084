// What a verb of `xl` is: a row of the table from which dispatch, help and completion are made.
import type { Xl } from './context.ts';

export interface Option {
  short?: string;
  long?: string;
  /** What stands for its value; none: it takes none. */
  value?: string;
  /** An option that xl has and that has no effect here is not shown. */
  help: string;
}

export interface Given {
  /** Values by the option's long name, else its short one; true for one without. */
  options: ReadonlyMap<string, string | true>;
  args: string[];
}

export interface Verb {
  name: string;
  /** What follows the name in the usage line. */
  usage: string;
  about: string;
  options?: readonly Option[];
  /** Arguments it needs at least. */
  needs?: number;
  /** What an argument is, for completion. */
  completes?: 'domain' | 'file' | 'verb';
  /** Its exit code. */
  run: (xl: Xl, given: Given) => Promise<number> | number;
}

/** Ends the command with this exit code, after a sentence on stderr (none: it has been said). */
export class Failure extends Error {
  readonly exit: number;
  constructor(message: string, exit = 1) {
    super(message);
    this.exit = exit;
  }
}

/** Wrong usage: the verb's help is shown too. */
export class Misuse extends Error {}

export const USAGE = 2;

const HELP: Option = { short: 'h', long: 'help', help: 'Show this help.' };

export const optionsOf = (verb: Verb): readonly Option[] => [...(verb.options ?? []), HELP];

export const keyOf = (option: Option): string => option.long ?? option.short!;

/** As getopt_long does: options anywhere before `--`, short ones together, values beside or behind. */
export function readArguments(verb: Verb, argv: readonly string[]): Given | 'help' {
  const known = optionsOf(verb);
  const options = new Map<string, string | true>();
  const args: string[] = [];
  const rest = [...argv];
  const set = (option: Option | undefined, name: string, value: string | undefined): void => {
    if (!option) throw new Failure(`option \`${name}' not supported.`, USAGE);
    if (option.value === undefined && value !== undefined)
      throw new Failure(`option \`${name}' takes no value.`, USAGE);
    const given = option.value === undefined ? true : (value ?? rest.shift());
    if (given === undefined) throw new Failure(`option \`${name}' needs a value: ${option.value}.`, USAGE);
    options.set(keyOf(option), given);
  };
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === '--') {
      args.push(...rest);
      break;
    }
    const long = /^--([^=]+)(?:=(.*))?$/s.exec(word);
    if (long)
      set(
        known.find((o) => o.long === long[1]),
        long[1]!,
        long[2],
      );
    else if (word.startsWith('-') && word !== '-') {
      for (let i = 1; i < word.length; i++) {
        const option = known.find((o) => o.short === word[i]);
        const takes = option?.value !== undefined;
        const value = takes ? word.slice(i + 1).replace(/^=/, '') || undefined : undefined;
        set(option, word[i]!, value);
        if (takes) break;
      }
    } else args.push(word);
  }
  if (options.has('help')) return 'help';
  const needs = verb.needs ?? 0;
  if (args.length < needs)
    throw new Misuse(`'xl ${verb.name}' requires at least ${needs} argument${needs === 1 ? '' : 's'}.`);
  return { options, args };
}

const COLUMN = 26;

export function verbHelp(verb: Verb): string {
  const line = (option: Option): string => {
    const value = option.value === undefined ? '' : option.long ? `=${option.value}` : ` ${option.value}`;
    const names = [option.short && `-${option.short}`, option.long && `--${option.long}`].filter(Boolean).join(', ');
    const name = `${names}${value}`;
    return name.length < COLUMN ? name.padEnd(COLUMN) + option.help : `${name}\n${' '.repeat(COLUMN)}${option.help}`;
  };
  return [
    `Usage: xl [-vfNtT] ${verb.name} ${verb.usage}`.trimEnd(),
    '',
    `${verb.about}.`,
    '',
    'Options:',
    '',
    ...optionsOf(verb).map(line),
    '',
  ].join('\n');
}
