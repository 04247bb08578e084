// Records the answers of this machine's CPU: node test/cpu/record.ts [file of rows ...]
import { rowFiles } from '../../spec/x86/rows.ts';
import { packSection, store } from './answers.ts';
import { generate } from './encode.ts';
import { groupsOfFile } from './plan.ts';
import { cpuModel, openHarness } from './run.ts';

const harness = openHarness();
if (!harness) throw new Error('recording needs gcc');
const files = process.argv.length > 2 ? process.argv.slice(2) : [...rowFiles.keys()];
try {
  for (const file of files) {
    let cases = 0;
    const parts = groupsOfFile(file).map((group) => {
      const { row, opsize, mode, count } = group;
      const inputs = Array.from({ length: count }, (_, n) => generate(row, opsize, mode, n));
      cases += count;
      try {
        return packSection(group, inputs, harness.run(inputs.map((input) => ({ ...input, mode }))));
      } catch (error) {
        throw new Error(`${file}: ${row.source} (${opsize} bits, mode ${mode}): ${(error as Error).message}`);
      }
    });
    const size = store(file, cpuModel(), parts);
    console.log(`${file}: ${parts.length} groups, ${cases} states, ${(size / 1024).toFixed(0)} KiB`);
  }
} finally {
  harness.close();
}
