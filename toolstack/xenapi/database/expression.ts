/** The expressions of `get_all_records_where`: `field "name" = "value"`, `true`, `false`, `not`, `and`, `or`, parentheses. */
import { Failure } from '../failure.ts';
import type { Row } from './row.ts';

type Test = (row: Row) => boolean;
const MAX_DEPTH = 50;
const TOKEN = /\s*(?:("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(=|<>|\(|\)|[A-Za-z_]+))/y;

class Parser {
  readonly #tokens: string[] = [];
  readonly #text: string;
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
    TOKEN.lastIndex = 0;
    while (text.slice(TOKEN.lastIndex).trim() !== '') {
      const match = TOKEN.exec(text);
      if (!match) this.fail();
      this.#tokens.push(match![1] ?? match![2]);
    }
  }

  fail(): never {
    throw new Failure('INVALID_VALUE', 'expr', this.#text);
  }

  #take(token: string): boolean {
    if (this.#tokens[this.#at] !== token) return false;
    this.#at++;
    return true;
  }

  whole(): Test {
    const test = this.#or();
    if (this.#at < this.#tokens.length) this.fail();
    return test;
  }

  #or(): Test {
    if (++this.#depth > MAX_DEPTH) this.fail();
    const parts = [this.#and()];
    while (this.#take('or')) parts.push(this.#and());
    this.#depth--;
    return parts.length === 1 ? parts[0] : (row) => parts.some((test) => test(row));
  }

  #and(): Test {
    const parts = [this.#not()];
    while (this.#take('and')) parts.push(this.#not());
    return parts.length === 1 ? parts[0] : (row) => parts.every((test) => test(row));
  }

  #not(): Test {
    let negate = false;
    while (this.#take('not')) negate = !negate;
    const test = this.#one();
    return negate ? (row) => !test(row) : test;
  }

  #one(): Test {
    if (this.#take('(')) {
      const test = this.#or();
      if (!this.#take(')')) this.fail();
      return test;
    }
    if (this.#take('true')) return () => true;
    if (this.#take('false')) return () => false;
    const left = this.#operand();
    const equal = this.#take('=') || (this.#take('<>') ? false : this.fail());
    const right = this.#operand();
    return (row) => (left(row) === right(row)) === equal;
  }

  #operand(): (row: Row) => string {
    const isField = this.#take('field');
    const token = this.#tokens[this.#at++] ?? this.fail();
    if (!/^["']/.test(token)) this.fail();
    const text = token.slice(1, -1).replace(/\\(.)/g, '$1');
    if (!isField) return () => text;
    return (row) => {
      // Fields of a group are written with two underscores there: name__label.
      const value = row.fields[text] ?? row.fields[text.replace('__', '_')];
      if (value === undefined) this.fail();
      return typeof value === 'object' ? JSON.stringify(value) : String(value);
    };
  }
}

export const parseExpression = (text: string): Test => new Parser(text).whole();
