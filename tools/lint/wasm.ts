// Several instances of `core.wasm` share one memory, so instantiating it must not write any: no data segments, no start
// function. Section ids from the WebAssembly core specification, "Binary Format / Modules".

const SECTION = { start: 8, data: 11, dataCount: 12 };

function leb(bytes: Uint8Array, at: number): [value: number, next: number] {
  let value = 0;
  for (let shift = 0; shift < 35; shift += 7) {
    if (at >= bytes.length) throw new Error('not a WebAssembly module: it ends inside a number');
    const byte = bytes[at++];
    value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) break;
  }
  return [value, at];
}

/** The module's sections by id, each with its content. */
export function sections(wasm: Uint8Array): Map<number, Uint8Array> {
  if (wasm.length < 8 || String.fromCharCode(...wasm.subarray(0, 4)) !== '\0asm') {
    throw new Error('not a WebAssembly module: the magic number is missing');
  }
  const found = new Map<number, Uint8Array>();
  for (let at = 8; at < wasm.length; ) {
    const id = wasm[at];
    const [size, start] = leb(wasm, at + 1);
    found.set(id, wasm.subarray(start, start + size));
    at = start + size;
  }
  return found;
}

/** What instantiating the module would write to memory: empty when nothing. */
export function staticData(wasm: Uint8Array): string[] {
  const found = sections(wasm);
  const faults: string[] = [];
  const data = found.get(SECTION.data);
  const segments = data ? leb(data, 0)[0] : 0;
  if (segments > 0) faults.push(`${segments} data segments (a string or array literal, or a module-level object?)`);
  if (found.has(SECTION.start)) faults.push('a start function (a module-level initialiser that is no constant?)');
  return faults;
}
