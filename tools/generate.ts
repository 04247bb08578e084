// Everything that is generated from `spec/`. Files whose text has not changed are left alone.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ROOT } from '../bin/setup.cjs';
import { generateAbi } from './generate/abi.ts';
import { generateEngine } from './generate/engine.ts';
import { generateRecord } from './generate/record.ts';
import { generateX87 } from './generate/x87.ts';
import { generateXe } from './generate/xe.ts';
import { generateSupport } from './generate/xenapi.ts';

function write(path: string, content: string | Uint8Array): void {
  const file = join(ROOT, path);
  const bytes = Buffer.from(content);
  try {
    if (readFileSync(file).equals(bytes)) return;
  } catch {
    mkdirSync(dirname(file), { recursive: true });
  }
  writeFileSync(file, bytes);
}

export function generate(): void {
  const files = [
    ...[...generateAbi(), ...generateEngine(), ...generateRecord(), ...generateX87()],
    ...[...generateSupport(), ...generateXe()],
  ];
  for (const { path, text } of files) write(path, text);
}

if (import.meta.main) generate();
