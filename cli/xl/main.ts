// `xl`: Xen's command for domains, against a Xenolith host.
import '../parent.ts';
import { runXl } from './run.ts';

/** Ends when both streams have been read. */
function end(code: number): void {
  process.stderr.write('', () => process.stdout.write('', () => process.exit(code)));
}

process.stderr.on('error', () => {});
// Its reader has seen enough (`xl list | head -1`).
process.stdout.on('error', () => process.exit(0));
const io = {
  out: (text: string): void => void process.stdout.write(text),
  err: (text: string): void => void process.stderr.write(text),
  env: process.env,
};
end(await runXl(process.argv.slice(2), io));
