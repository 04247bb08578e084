/** GRUB's shell-like language (GRUB manual, "Writing full configuration files directly"): words, commands, if, loops and functions. */
import { fail } from './disk.ts';

/** A part of a word: itself, or a variable's value, which is split at blanks unless it is quoted. */
export type Part = { readonly text: string } | { readonly name: string; readonly quoted: boolean };
export interface Word {
  readonly parts: readonly Part[];
  /** Some of it was in quotes: it is a word even if it is empty, and no keyword. */
  readonly quoted: boolean;
}

export type Command =
  | { readonly kind: 'simple'; readonly words: readonly Word[]; readonly block: Script | undefined }
  | {
      readonly kind: 'if';
      readonly branches: readonly { condition: Script; body: Script }[];
      readonly otherwise: Script;
    }
  | { readonly kind: 'loop'; readonly until: boolean; readonly condition: Script; readonly body: Script }
  | { readonly kind: 'for'; readonly name: string; readonly words: readonly Word[]; readonly body: Script }
  | { readonly kind: 'function'; readonly name: string; readonly body: Script };
export type Script = readonly Command[];

type Token =
  | { readonly end: true; readonly line: number }
  | { readonly end: false; readonly word: Word; readonly line: number };

const MAX_TOKENS = 200_000;
const MAX_NESTING = 64;
const NAME = /^(?:\{([^}\n]{1,128})\}|([A-Za-z_][A-Za-z0-9_]{0,127}|[0-9]|[@*#?]))/;

function lex(source: string): Token[] {
  const tokens: Token[] = [];
  let line = 1;
  let parts: Part[] = [];
  let quoted = false;
  const push = (text: string): void => {
    const last = parts.at(-1);
    if (last && 'text' in last) parts[parts.length - 1] = { text: last.text + text };
    else parts.push({ text });
  };
  const flush = (): void => {
    if (parts.length > 0 || quoted) tokens.push({ end: false, word: { parts, quoted }, line });
    parts = [];
    quoted = false;
  };
  /** A variable at `at`, behind its dollar sign; what it takes up. */
  const variable = (at: number, inQuotes: boolean): number => {
    const match = NAME.exec(source.slice(at, at + 132));
    if (!match) {
      push('$');
      return 0;
    }
    parts.push({ name: (match[1] ?? match[2])!, quoted: inQuotes });
    return match[0].length;
  };
  for (let i = 0; i < source.length; i++) {
    if (tokens.length > MAX_TOKENS) fail('it is too long');
    const c = source[i]!;
    if (c === '\\') {
      const next = source[++i];
      if (next === '\n') line++;
      else if (next !== undefined) push(next);
    } else if (c === "'") {
      const end = source.indexOf("'", i + 1);
      if (end < 0) fail(`line ${line}: a quotation has no end`);
      const text = source.slice(i + 1, end);
      push(text);
      quoted = true;
      line += text.split('\n').length - 1;
      i = end;
    } else if (c === '"') {
      quoted = true;
      for (i++; source[i] !== '"'; i++) {
        const d = source[i];
        if (d === undefined) fail(`line ${line}: a quotation has no end`);
        if (d === '\n') line++;
        if (d === '\\' && /["\\$\n]/.test(source[i + 1] ?? '')) {
          if (source[++i] !== '\n') push(source[i]!);
        } else if (d === '$') i += variable(i + 1, true);
        else push(d!);
      }
    } else if (c === '$') i += variable(i + 1, false);
    else if (c === '#' && parts.length === 0 && !quoted) {
      while (i + 1 < source.length && source[i + 1] !== '\n') i++;
    } else if (c === '\n' || c === ';' || c === '&' || c === '|') {
      flush();
      tokens.push({ end: true, line });
      if (c === '\n') line++;
    } else if (/\s/.test(c)) flush();
    else push(c);
  }
  flush();
  tokens.push({ end: true, line });
  return tokens;
}

/** A word that is text alone and not quoted. */
function bare(token: Token | undefined): string | undefined {
  if (!token || token.end || token.word.quoted) return undefined;
  const [part, more] = token.word.parts;
  return part && !more && 'text' in part ? part.text : undefined;
}

export function parseGrubScript(source: string): Script {
  const tokens = lex(source);
  let at = 0;

  const skipEnds = (): void => {
    while (tokens[at]?.end) at++;
  };
  const expect = (word: string): void => {
    skipEnds();
    if (bare(tokens[at]) !== word) fail(`line ${tokens[Math.min(at, tokens.length - 1)]?.line}: '${word}' is missing`);
    at++;
  };
  const list = (stops: readonly string[], depth: number): Script => {
    if (depth > MAX_NESTING) fail('its blocks are nested too deep');
    const commands: Command[] = [];
    for (;;) {
      skipEnds();
      const token = tokens[at];
      if (!token) {
        if (stops.length > 0) fail(`'${stops.at(-1)}' is missing at its end`);
        return commands;
      }
      const word = bare(token);
      if (word !== undefined && stops.includes(word)) return commands;
      commands.push(command(word, depth + 1));
    }
  };
  const command = (word: string | undefined, depth: number): Command => {
    switch (word) {
      case 'if':
        return conditional(depth);
      case 'while':
      case 'until': {
        at++;
        const condition = list(['do'], depth);
        expect('do');
        const body = list(['done'], depth);
        expect('done');
        return { kind: 'loop', until: word === 'until', condition, body };
      }
      case 'for': {
        at++;
        const name = bare(tokens[at++]) ?? fail("a 'for' has no name");
        if (bare(tokens[at]) === 'in') at++;
        const words = plainWords();
        expect('do');
        const body = list(['done'], depth);
        expect('done');
        return { kind: 'for', name, words, body };
      }
      case 'function': {
        at++;
        const name = bare(tokens[at++]) ?? fail("a 'function' has no name");
        return { kind: 'function', name, body: block(depth) };
      }
      default:
        return simple(depth);
    }
  };
  const conditional = (depth: number): Command => {
    const branches: { condition: Script; body: Script }[] = [];
    do {
      at++;
      const condition = list(['then'], depth);
      expect('then');
      branches.push({ condition, body: list(['elif', 'else', 'fi'], depth) });
    } while (bare(tokens[at]) === 'elif');
    let otherwise: Script = [];
    if (bare(tokens[at]) === 'else') {
      at++;
      otherwise = list(['fi'], depth);
    }
    expect('fi');
    return { kind: 'if', branches, otherwise };
  };
  const block = (depth: number): Script => {
    expect('{');
    const body = list(['}'], depth);
    expect('}');
    return body;
  };
  const plainWords = (): Word[] => {
    const words: Word[] = [];
    for (let token = tokens[at]; token && !token.end; token = tokens[++at]) words.push(token.word);
    return words;
  };
  const simple = (depth: number): Command => {
    const words: Word[] = [];
    for (let token = tokens[at]; token && !token.end; token = tokens[at]) {
      const word = bare(token);
      if (word === '{' && words.length > 0) return { kind: 'simple', words, block: block(depth) };
      // It ends the block around this command, wherever it stands.
      if (word === '}' && words.length > 0) break;
      words.push(token.word);
      at++;
    }
    return { kind: 'simple', words, block: undefined };
  };
  return list([], 0);
}
