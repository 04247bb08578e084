// What hardly ever happens, told to who compiles the module: the custom section metadata.code.branch_hint (WebAssembly's branch hinting
// proposal). Exits then lie aside of the code that runs, and registers are given to that first.
import * as w from './wasm';
import { HINTS_SIZE, work_hints } from './work';

/** Names no function but the region's: number 0. */
const FUNCTION: u32 = 0;
const UNLIKELY: u32 = 0;

let hints: u32 = 0;

export function hints_begin(): void {
  hints = 0;
}

/** An `if` whose condition hardly ever holds. Written into the body. */
export function if_unlikely(): void {
  if (hints < HINTS_SIZE >>> 2) {
    store<u32>(work_hints() + ((<usize>hints) << 2), w.wasm_length());
    hints++;
  }
  w.if_();
}

/** The section, which comes before the code: of `prefix` bytes of the function before its body. */
export function write_hints(prefix: u32): void {
  if (!hints) return;
  w.byte(0);
  const size = w.reserve();
  w.uleb(25);
  w.text(0x617461646174656d); // metadata
  w.text(0x72622e65646f632e); // .code.br
  w.text(0x6e69685f68636e61); // anch_hin
  w.byte(0x74); // t
  w.uleb(1);
  w.uleb(FUNCTION);
  w.uleb(hints);
  for (let i: u32 = 0; i < hints; i++) {
    w.uleb(prefix + load<u32>(work_hints() + ((<usize>i) << 2)));
    w.uleb(1);
    w.byte(UNLIKELY);
  }
  w.patch(size);
}
