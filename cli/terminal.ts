// The person's end of a guest's console: the terminal in raw mode with Ctrl-] as the way out, or plain stdin and stdout
// when they are no terminal (then every byte passes as it is).
import { constants } from 'node:os';
import type { ReadStream, WriteStream } from 'node:tty';

/** Ctrl-], as with telnet and `xl console`. */
const ESCAPE = 0x1d;

/** Node restores the terminal itself at an exit it sees coming, so each of these becomes one. */
const ENDING = ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM'] as const;

type Input = NodeJS.ReadableStream & Partial<Pick<ReadStream, 'isTTY' | 'setRawMode'>> & { unref?(): void };
type Output = NodeJS.WritableStream & Partial<Pick<WriteStream, 'isTTY'>>;

export interface Terminal {
  /** Input and output are both a terminal. */
  readonly interactive: boolean;
  onInput(callback: (bytes: Uint8Array) => void): void;
  onEscape(callback: () => void): void;
  /** The reader has caught up after `write` gave false, or has gone. */
  onDrain(callback: () => void): void;
  /** False when the reader is behind: keep further output until `onDrain`. */
  write(bytes: Uint8Array): boolean;
  /** Gives the terminal back as it was; more than once is no harm. */
  close(): void;
}

/** Cuts input at the escape key. */
export function splitAtEscape(bytes: Uint8Array): { before: Uint8Array; escaped: boolean } {
  const at = bytes.indexOf(ESCAPE);
  return at < 0 ? { before: bytes, escaped: false } : { before: bytes.subarray(0, at), escaped: true };
}

export function openTerminal(input: Input = process.stdin, output: Output = process.stdout): Terminal {
  const interactive = Boolean(input.isTTY && output.isTTY);
  let inputCallback: ((bytes: Uint8Array) => void) | undefined;
  let escapeCallback: (() => void) | undefined;
  let drainCallback: (() => void) | undefined;
  let open = true;
  let broken = false;

  const receive = (chunk: Uint8Array) => {
    const { before, escaped } = interactive ? splitAtEscape(chunk) : { before: chunk, escaped: false };
    if (before.length > 0) inputCallback?.(before);
    if (escaped) escapeCallback?.();
  };
  // A reader that has gone (EPIPE) takes nothing more; the guest runs on.
  const gone = () => {
    broken = true;
    drainCallback?.();
  };
  const drained = () => drainCallback?.();
  const close = () => {
    if (!open) return;
    open = false;
    if (interactive) input.setRawMode?.(false);
    input.off('data', receive);
    input.pause();
    input.unref?.();
    output.off('drain', drained);
    process.off('exit', close);
    for (const signal of ENDING) process.off(signal, end);
  };
  const end = (signal: (typeof ENDING)[number]) => {
    close();
    process.exit(128 + constants.signals[signal]);
  };

  output.on('error', gone);
  output.on('drain', drained);
  input.on('error', () => {});
  process.on('exit', close);
  for (const signal of ENDING) process.on(signal, end);
  if (interactive) input.setRawMode?.(true);

  return {
    interactive,
    onInput: (callback) => {
      inputCallback = callback;
      input.on('data', receive);
    },
    onEscape: (callback) => void (escapeCallback = callback),
    onDrain: (callback) => void (drainCallback = callback),
    write: (bytes) => broken || output.write(bytes),
    close,
  };
}
