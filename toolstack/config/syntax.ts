// The syntax of xl's configuration files: `key = value` and `key += value`, a value being a string in quotes, a number or a list.
// Statements end at a line's end or at `;`, a list may span lines, `#` begins a comment.

export type Value =
  | { kind: 'string' | 'number'; text: string; line: number }
  | { kind: 'list'; items: Value[]; line: number };

/** A parsed file: the last assignment of a key counts. */
export class Settings {
  readonly file: string;
  readonly #values = new Map<string, Value>();
  /** What a person should know, one line each. */
  readonly warnings: string[] = [];

  constructor(file: string) {
    this.file = file;
  }

  keys(): string[] {
    return [...this.#values.keys()];
  }

  has(key: string): boolean {
    return this.#values.has(key);
  }

  set(key: string, value: Value): void {
    this.#values.set(key, value);
  }

  get(key: string): Value | undefined {
    return this.#values.get(key);
  }

  warn(line: number, text: string): void {
    this.warnings.push(`${this.file}:${line}: warning: ${text}`);
  }

  /** A number counts as a string too; a list does not. */
  string(key: string): string | undefined {
    const value = this.#values.get(key);
    if (value?.kind !== 'list') return value?.text;
    this.warn(value.line, `parameter \`${key}' is a list but should be a single string`);
    return undefined;
  }

  /** Decimal, hexadecimal (0x…) or octal (0…), in quotes or not. */
  number(key: string): number | undefined {
    const text = this.string(key);
    if (text === undefined) return undefined;
    const n = parseNumber(text);
    if (n === undefined) this.warn(this.#values.get(key)!.line, `parameter \`${key}' is not a valid number`);
    return n;
  }

  /** The strings of a list. */
  list(key: string): string[] | undefined {
    const value = this.#values.get(key);
    if (!value) return undefined;
    if (value.kind !== 'list') {
      this.warn(value.line, `parameter \`${key}' is a single string but should be a list`);
      return undefined;
    }
    return value.items.flatMap((item) => (item.kind === 'list' ? [] : [item.text]));
  }
}

/** As strtoul does with base 0. */
export function parseNumber(text: string): number | undefined {
  const radix = /^0x[0-9a-f]+$/i.test(text) ? 16 : /^0[0-7]*$/.test(text) ? 8 : /^[1-9][0-9]*$/.test(text) ? 10 : 0;
  if (radix === 0) return undefined;
  const n = Number.parseInt(radix === 16 ? text.slice(2) : text, radix);
  return Number.isSafeInteger(n) ? n : undefined;
}

/** What stops a configuration from being used: a sentence for each mistake. */
export class ConfigError extends Error {
  readonly complaints: readonly string[];
  constructor(complaints: readonly string[]) {
    super(complaints.join('\n'));
    this.complaints = complaints;
  }
}

type Kind = 'IDENT' | 'STRING' | 'NUMBER' | 'NEWLINE' | 'END' | '=' | '+=' | ';' | ',' | '[' | ']';

interface Token {
  kind: Kind;
  /** As it stands in the file. */
  raw: string;
  text: string;
  line: number;
}

/** A mistake at a token; the statement is skipped. */
class Mistake extends Error {
  readonly token: { raw: string; line: number };
  constructor(token: { raw: string; line: number }, message: string) {
    super(message);
    this.token = token;
  }
}

const TOKEN =
  /([ \t\r]+|#[^\n]*)|([a-z][_0-9a-z]*)|([0-9][0-9a-fx]*)|('(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")|(\n)|(\+=|[=;,[\]])|("[^\n]*|'[^\n]*|[-+.():/][^\s;,\]]*|[^\n])/gy;
const KINDS: (Kind | undefined)[] = [undefined, undefined, 'IDENT', 'NUMBER', 'STRING', 'NEWLINE'];

const ESCAPES: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
  '"': '"',
  "'": "'",
};

function unquote(raw: string, line: number): string {
  return raw.slice(1, -1).replace(/\\(x[0-9a-fA-F]{2}|[0-7]{1,3}|.)/gs, (whole, code: string) => {
    if (code.length === 3 && code[0] === 'x') return String.fromCharCode(Number.parseInt(code.slice(1), 16));
    if (/^[0-7]/.test(code)) return String.fromCharCode(Number.parseInt(code, 8) & 0xff);
    const known = ESCAPES[code];
    if (known === undefined) throw new Mistake({ raw: whole, line }, 'unknown character after a backslash');
    return known;
  });
}

/** The text's tokens, read one at a time: a lexical mistake spoils its statement only. */
class Lexer {
  readonly #text: string;
  #at = 0;
  #line = 1;

  constructor(text: string) {
    this.#text = text;
  }

  next(): Token {
    for (;;) {
      const line = this.#line;
      if (this.#at >= this.#text.length) return { kind: 'END', raw: 'end of file', text: '', line };
      TOKEN.lastIndex = this.#at;
      const match = TOKEN.exec(this.#text)!;
      this.#at = TOKEN.lastIndex;
      const [raw] = match;
      if (match[1] !== undefined) continue;
      if (match[7] !== undefined) throw new Mistake({ raw, line }, 'lexical error');
      if (raw === '\n') this.#line++;
      const kind = match[6] !== undefined ? (raw as Kind) : KINDS[match.findIndex((m, i) => i > 0 && m !== undefined)]!;
      return { kind, raw: raw === '\n' ? 'line end' : raw, text: kind === 'STRING' ? unquote(raw, line) : raw, line };
    }
  }

  /** Goes on behind the next line end. */
  skipLine(): void {
    const end = this.#text.indexOf('\n', this.#at);
    this.#at = end < 0 ? this.#text.length : end + 1;
    if (end >= 0) this.#line++;
  }
}

/** A list in a list in a list …: nobody needs more. */
const DEPTH = 16;

class Parser {
  readonly #lexer: Lexer;
  readonly #settings: Settings;
  #token!: Token;

  constructor(text: string, settings: Settings) {
    this.#lexer = new Lexer(text);
    this.#settings = settings;
  }

  run(): string[] {
    const complaints: string[] = [];
    for (;;) {
      try {
        this.#take();
        while (this.#statement());
        return complaints;
      } catch (error) {
        if (!(error instanceof Mistake)) throw error;
        const { raw, line } = error.token;
        complaints.push(`${this.#settings.file}:${line}: config parsing error near \`${raw}': ${error.message}`);
        if (raw === 'end of file') return complaints;
        if (raw !== 'line end') this.#lexer.skipLine();
      }
    }
  }

  #take(): Token {
    const token = this.#token;
    this.#token = this.#lexer.next();
    return token;
  }

  #at(kind: Kind): boolean {
    return this.#token.kind === kind;
  }

  #expect(kinds: readonly Kind[]): Token {
    if (kinds.includes(this.#token.kind)) return this.#take();
    const names = kinds.map((kind) => (/^\w/.test(kind) ? kind : `'${kind}'`));
    const got = /^\w/.test(this.#token.kind) ? this.#token.kind : `'${this.#token.kind}'`;
    throw new Mistake(this.#token, `syntax error, unexpected ${got}, expecting ${names.join(' or ')}`);
  }

  /** False at the end. */
  #statement(): boolean {
    if (this.#at('END')) return false;
    if (this.#token.kind !== 'NEWLINE' && this.#token.kind !== ';') {
      const key = this.#expect(['IDENT']);
      const operator = this.#expect(['+=', '=']);
      const value = this.#value(0);
      if (operator.kind === '=') this.#settings.set(key.text, value);
      else this.#add(key, value);
      if (this.#at('END')) return false;
    }
    // The token behind a line end may be wrong: the statement before it stands nevertheless.
    this.#expect(['NEWLINE', ';']);
    return true;
  }

  #add(key: Token, value: Value): void {
    const old = this.#settings.get(key.text);
    if (!old) return this.#settings.set(key.text, value);
    if ((old.kind === 'list') !== (value.kind === 'list')) {
      const [what, to] = value.kind === 'list' ? ['list', 'string'] : ['string', 'list'];
      throw new Mistake(key, `a ${what} cannot be added to a ${to}`);
    }
    if (old.kind === 'list' && value.kind === 'list') {
      this.#settings.set(key.text, { ...old, items: [...old.items, ...value.items] });
    } else if (old.kind !== 'list' && value.kind !== 'list') {
      this.#settings.set(key.text, { kind: 'string', text: old.text + value.text, line: value.line });
    }
  }

  #value(depth: number): Value {
    const token = this.#expect(['STRING', 'NUMBER', '[']);
    const { line } = token;
    if (token.kind !== '[') return { kind: token.kind === 'STRING' ? 'string' : 'number', text: token.text, line };
    if (depth === DEPTH) throw new Mistake(token, `lists are nested more than ${DEPTH} deep`);
    const items: Value[] = [];
    this.#lines();
    while (!this.#at(']')) {
      items.push(this.#value(depth + 1));
      this.#lines();
      if (this.#at(']')) break;
      this.#expect([',', ']']);
      this.#lines();
    }
    this.#take();
    return { kind: 'list', items, line };
  }

  #lines(): void {
    while (this.#at('NEWLINE')) this.#take();
  }
}

/** Reads a configuration; throws a ConfigError that tells every mistake. */
export function parseSettings(text: string, file: string): Settings {
  const settings = new Settings(file);
  const complaints = new Parser(text, settings).run();
  if (complaints.length > 0) throw new ConfigError(complaints);
  return settings;
}
