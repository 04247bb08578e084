// `xe`: XenAPI's command for hosts, pools and virtual machines.
import '../parent.ts';
import { runXe, standardIo } from './run.ts';

/** Ends when both streams have been read. */
function end(code: number): void {
  process.stderr.write('', () => process.stdout.write('', () => process.exit(code)));
}

process.stderr.on('error', () => {});
// Its reader has seen enough (`xe vm-list | head -1`).
process.stdout.on('error', () => process.exit(0));
process.on('SIGINT', () => process.exit(1));
end(await runXe(process.argv.slice(2), standardIo()));
