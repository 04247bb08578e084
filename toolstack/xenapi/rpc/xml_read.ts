/**
 * Reads an XML-RPC call, piece by piece as it comes. saxes is strict about XML and knows no entities but the five of XML itself;
 * a document type is refused at once.
 */
import { SaxesParser } from 'saxes';
import { Malformed, MAX_DEPTH, MAX_VALUES, type Call, type Raw } from './limits.ts';

/** Where each element may stand. */
const CHILDREN: Record<string, string> = {
  methodCall: 'methodName params',
  methodResponse: 'params',
  params: 'param',
  param: 'value',
  value: 'i4 i8 int boolean string double dateTime.iso8601 base64 nil struct array',
  struct: 'member',
  member: 'name value',
  array: 'data',
  data: 'value',
};
const ALLOWED = new Map(Object.entries(CHILDREN).map(([name, children]) => [name, new Set(children.split(' '))]));

interface Node {
  name: string;
  text: string;
  /** What its one child has given. */
  value: Raw | undefined;
  key: string | undefined;
  items: Raw[];
  members: { [key: string]: Raw };
  children: number;
}

const node = (name: string): Node => ({
  ...{ name, text: '', value: undefined, key: undefined, items: [], children: 0 },
  members: Object.create(null) as Node['members'],
});

function scalar(name: string, text: string): Raw {
  const number = (pattern: RegExp): number => {
    const trimmed = text.trim();
    if (!pattern.test(trimmed)) throw new Malformed(`no ${name}: ${trimmed.slice(0, 40)}`);
    return Number(trimmed);
  };
  switch (name) {
    case 'i4':
    case 'i8':
    case 'int':
      return number(/^[+-]?\d{1,19}$/);
    case 'double':
      return number(/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/);
    case 'boolean':
      return number(/^[01]$/) === 1;
    case 'base64':
      return Buffer.from(text, 'base64').toString();
    case 'nil':
      return null;
    default:
      return text;
  }
}

export class XmlReader {
  readonly #parser = new SaxesParser();
  readonly #stack: Node[] = [node('')];
  #values = 0;
  #failure: Malformed | undefined;
  readonly #root: string;

  constructor(root: 'methodCall' | 'methodResponse' = 'methodCall') {
    this.#root = root;
    const parser = this.#parser;
    const guard = (act: () => void) => {
      if (this.#failure) return;
      try {
        act();
      } catch (error) {
        this.#fail(error as Error);
      }
    };
    parser.on('error', (error) => this.#fail(error));
    parser.on('doctype', () => this.#fail(new Error('a document type')));
    parser.on('opentag', ({ name }) => guard(() => this.#open(name)));
    parser.on('closetag', () => guard(() => this.#close()));
    const text = (piece: string) => guard(() => (this.#stack.at(-1)!.text += piece));
    parser.on('text', text);
    parser.on('cdata', text);
  }

  #fail(error: Error): void {
    this.#failure ??= error instanceof Malformed ? error : new Malformed(error.message);
  }

  #open(name: string): void {
    const parent = this.#stack.at(-1)!;
    if (parent.name === '' ? name !== this.#root : !ALLOWED.get(parent.name)?.has(name))
      throw new Malformed(`<${name}> in <${parent.name}>`);
    // All but these have one child.
    const several = parent.name === 'params' || parent.name === 'data' || parent.name === 'struct';
    const most = parent.name === 'methodCall' || parent.name === 'member' ? 2 : 1;
    if (++parent.children > most && !several) throw new Malformed(`too much in <${parent.name}>`);
    if (name === 'value' && ++this.#values > MAX_VALUES) throw new Malformed('too many values');
    // A value inside an array takes three elements, one inside a struct as well.
    if (this.#stack.length > 3 * MAX_DEPTH + 4) throw new Malformed('nested too deeply');
    this.#stack.push(node(name));
  }

  #close(): void {
    const { name, text, value, key, items, members, children } = this.#stack.pop()!;
    const parent = this.#stack.at(-1)!;
    if (children > 0 && text.trim() !== '') throw new Malformed(`text in <${name}>`);
    switch (name) {
      case 'methodName':
      case 'name':
        parent.key = name === 'name' ? text : text.trim();
        break;
      case 'value':
        this.#give(parent, value ?? (children > 0 ? null : text));
        break;
      case 'struct':
        parent.value = members;
        break;
      case 'array':
        parent.value = value ?? [];
        break;
      case 'data':
        parent.value = items;
        break;
      case 'param':
        if (value === undefined) throw new Malformed('a parameter without a value');
        parent.items.push(value);
        break;
      case 'params':
        parent.items = items;
        break;
      case 'member':
        if (key === undefined || value === undefined) throw new Malformed('a member without name or value');
        if (key in parent.members) throw new Malformed('two members of one name');
        parent.members[key] = value;
        break;
      case 'methodCall':
        if (key === undefined) throw new Malformed('no method');
        parent.key = key;
        parent.items = items;
        break;
      case 'methodResponse':
        parent.key = '';
        parent.items = items;
        break;
      default:
        parent.value = scalar(name, text);
    }
  }

  #give(parent: Node, value: Raw): void {
    if (parent.name === 'data') parent.items.push(value);
    else parent.value = value;
  }

  write(text: string): void {
    if (!this.#failure) this.#parser.write(text);
  }

  end(): Call {
    if (!this.#failure) this.#parser.close();
    if (this.#failure) throw this.#failure;
    const [{ key, items }] = this.#stack;
    if (this.#stack.length !== 1 || key === undefined) throw new Malformed('no call');
    return { method: key, params: items };
  }
}

export function readXml(text: string): Call {
  const reader = new XmlReader();
  reader.write(text);
  return reader.end();
}

/** What a program answers in XML-RPC. */
export function readXmlAnswer(text: string): Raw {
  const reader = new XmlReader('methodResponse');
  reader.write(text);
  const { params } = reader.end();
  if (params.length !== 1) throw new Malformed('an answer has one value');
  return params[0];
}
