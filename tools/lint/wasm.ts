// Several instances of `core.wasm` share one memory, so instantiating it must not write any: no data segments, and a
// start function that sets globals at most. Numbers from the WebAssembly core specification, "Binary Format".

const SECTION = { import: 2, start: 8, code: 10, data: 11 };

/** Reads a module's bytes from front to back. */
class Reader {
  readonly bytes: Uint8Array;
  at: number;

  constructor(bytes: Uint8Array, at = 0) {
    this.bytes = bytes;
    this.at = at;
  }

  get atEnd(): boolean {
    return this.at >= this.bytes.length;
  }

  byte(): number {
    if (this.atEnd) throw new Error('not a WebAssembly module: it is cut off');
    return this.bytes[this.at++];
  }

  /** LEB128; a signed number's value is of no interest here, only where it ends. */
  number(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  }

  take(length: number): Uint8Array {
    const start = this.at;
    this.at += length;
    if (this.at > this.bytes.length) throw new Error('not a WebAssembly module: it is cut off');
    return this.bytes.subarray(start, this.at);
  }
}

/** The module's sections by id, each with its content. */
export function sections(wasm: Uint8Array): Map<number, Uint8Array> {
  if (wasm.length < 8 || String.fromCharCode(...wasm.subarray(0, 4)) !== '\0asm') {
    throw new Error('not a WebAssembly module: the magic number is missing');
  }
  const found = new Map<number, Uint8Array>();
  for (const reader = new Reader(wasm, 8); !reader.atEnd; ) {
    const id = reader.byte();
    found.set(id, reader.take(reader.number()));
  }
  return found;
}

/** Imported functions come first in the function index space. */
function importedFunctions(section: Uint8Array | undefined): number {
  if (!section) return 0;
  const reader = new Reader(section);
  const limits = () => {
    const flags = reader.number();
    reader.number();
    if (flags & 1) reader.number();
  };
  let functions = 0;
  for (let count = reader.number(); count > 0; count--) {
    reader.take(reader.number());
    reader.take(reader.number());
    const kind = reader.byte();
    if (kind === 1) reader.byte(); // a table's element type
    if (kind === 0) (functions++, reader.number());
    else if (kind === 1 || kind === 2) limits();
    else reader.take(2); // a global's type and mutability
  }
  return functions;
}

/** Opcodes that only compute or set a global or local, with what follows them. */
const HARMLESS: { from: number; to: number; skip(reader: Reader): unknown }[] = [
  { from: 0x20, to: 0x24, skip: (reader) => reader.number() }, // local.get … global.set
  { from: 0x41, to: 0x42, skip: (reader) => reader.number() }, // i32.const, i64.const
  { from: 0x43, to: 0x43, skip: (reader) => reader.take(4) }, // f32.const
  { from: 0x44, to: 0x44, skip: (reader) => reader.take(8) }, // f64.const
  ...[0x01, 0x0b, 0x1a, 0x1b].map((code) => ({ from: code, to: code, skip: () => 0 })), // nop, end, drop, select
  { from: 0x45, to: 0xc4, skip: () => 0 }, // comparisons and arithmetic
];

/** The first opcode of a function body that can do more than that, if there is one. */
function firstEffect(body: Uint8Array): number | undefined {
  const reader = new Reader(body);
  for (let groups = reader.number(); groups > 0; groups--) {
    reader.number(); // so many locals
    reader.byte(); // of this type
  }
  while (!reader.atEnd) {
    const opcode = reader.byte();
    const harmless = HARMLESS.find(({ from, to }) => opcode >= from && opcode <= to);
    if (!harmless) return opcode;
    harmless.skip(reader);
  }
  return undefined;
}

/** What instantiating the module would do to memory: empty when nothing. */
export function staticData(wasm: Uint8Array): string[] {
  const found = sections(wasm);
  const faults: string[] = [];
  const data = found.get(SECTION.data);
  const segments = data ? new Reader(data).number() : 0;
  if (segments > 0) faults.push(`${segments} data segments (a string or array literal, or a module-level object?)`);
  const start = found.get(SECTION.start);
  if (start) {
    const code = new Reader(found.get(SECTION.code) ?? new Uint8Array(1));
    const index = new Reader(start).number() - importedFunctions(found.get(SECTION.import));
    const count = code.number();
    if (index < 0 || index >= count) return [...faults, 'an imported start function'];
    for (let skip = index; skip > 0; skip--) code.take(code.number());
    const effect = firstEffect(code.take(code.number()));
    if (effect !== undefined) {
      const hex = effect.toString(16).padStart(2, '0');
      faults.push(`a start function that does more than set globals (opcode ${hex}): a module-level initialiser?`);
    }
  }
  return faults;
}
