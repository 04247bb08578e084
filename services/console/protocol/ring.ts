// The console ring (public header io/console.h, struct xencons_interface), seen from the back end.
import { ByteRing } from '../../lib/ring_page.ts';
import type { RingPage } from '../../lib/ring_page.ts';

export const CONSOLE_RING = {
  IN: 0,
  IN_SIZE: 1024,
  OUT: 1024,
  OUT_SIZE: 2048,
  IN_CONS: 3072,
  IN_PROD: 3076,
  OUT_CONS: 3080,
  OUT_PROD: 3084,
  /** One byte at the start of this word; 0: connected. */
  CONNECTION: 3088,
} as const;

/** Input for the guest and output of it. */
export function consoleRings(page: RingPage): { input: ByteRing; output: ByteRing } {
  const { IN, IN_SIZE, OUT, OUT_SIZE, IN_CONS, IN_PROD, OUT_CONS, OUT_PROD } = CONSOLE_RING;
  return {
    input: new ByteRing(page, { data: IN, size: IN_SIZE, cons: IN_CONS, prod: IN_PROD }),
    output: new ByteRing(page, { data: OUT, size: OUT_SIZE, cons: OUT_CONS, prod: OUT_PROD }),
  };
}
