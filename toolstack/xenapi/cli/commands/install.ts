/** Where the disks of a new VM go. */
import { SaxesParser } from 'saxes';
import { Failure } from '../../failure.ts';
import { escapeXml } from '../../rpc/encode.ts';
import type { Shell } from '../shell.ts';

/** The disks that a template describes, all in one storage repository. */
export function inStorage(disks: string, sr: string): string {
  const parser = new SaxesParser();
  const made: string[] = [];
  const bad = (): never => {
    throw new Failure('PROVISION_FAILED_XML', 'the disks of the template are not described as they should be');
  };
  parser.on('error', bad);
  parser.on('doctype', bad);
  parser.on('opentag', ({ name, attributes }) => {
    if (name !== 'disk') return;
    const changed = { ...(attributes as Record<string, string>), sr };
    made.push(`<disk ${Object.entries(changed).map(([key, value]) => `${key}="${escapeXml(value)}"`).join(' ')}/>`); // prettier-ignore
  });
  parser.write(disks).close();
  return `<provision>${made.join('')}</provision>`;
}

export async function installDisks(shell: Shell, vm: string, sr: string): Promise<void> {
  const { disks } = shell.row('VM', vm).map('other_config');
  if (disks === undefined) return;
  await shell.call('VM.remove_from_other_config', vm, 'disks');
  await shell.call('VM.add_to_other_config', vm, 'disks', inStorage(disks, sr));
}
