// Each floor of the house stands only on those below it (docs/ARCHITECTURE.md). This is the table that the rule checks.
import { posix } from 'node:path';
import type { Finding, Source } from './sources.ts';

/** What each top folder may import, besides itself, Node's modules and packages. */
const FLOORS: Record<string, string[]> = {
  spec: [],
  core: [],
  bin: [],
  platform: ['spec', 'core'],
  services: ['spec', 'platform'],
  toolstack: ['spec', 'services'],
  cli: ['spec', 'platform', 'services', 'toolstack', 'bin'],
  web: ['spec', 'toolstack'],
};

/** Folders that stand outside the house and may look into all of it. */
const OUTSIDE = new Set(['test', 'bench', 'tools', 'guests']);

const IMPORT = /\b(?:from|import|require)\s*\(?\s*(['"])([^'"]+)\1/g;

/** Top folder of a path, or '' for the repository's root. */
const floorOf = (path: string): string => (path.includes('/') ? path.slice(0, path.indexOf('/')) : '');

function allowed(from: Source['path'], to: string): boolean {
  const floor = floorOf(from);
  const target = floorOf(to);
  if (floor === target || OUTSIDE.has(floor)) return true;
  // A test may use the tools that build what it tests.
  if (from.endsWith('.test.ts') && OUTSIDE.has(target)) return true;
  return FLOORS[floor]?.includes(target) ?? false;
}

/** A service's pure half (`protocol/`) does no I/O: neither its back end nor the host's modules. */
function impure(from: string, to: string): boolean {
  if (!/^services\/[^/]+\/protocol\//.test(from) || from.endsWith('.test.ts')) return false;
  return /^node:(?!buffer|crypto|zlib)/.test(to) || /^(platform|services\/[^/]+\/backend)\//.test(to);
}

export function layering(sources: Source[]): Finding[] {
  const findings: Finding[] = [];
  for (const { path, text } of sources) {
    if (!/\.(ts|js|cjs|mjs)$/.test(path)) continue;
    text.split('\n').forEach((content, index) => {
      if (/^\s*(\/\/|\*)/.test(content)) return;
      for (const match of content.matchAll(IMPORT)) {
        const relative = match[2].startsWith('.');
        const target = relative ? posix.join(posix.dirname(path), match[2]) : match[2];
        const say = (message: string) => findings.push({ path, line: index + 1, rule: 'layering', message });
        if (relative && !allowed(path, target)) say(`${floorOf(path)}/ may not import ${target}`);
        else if (impure(path, target)) say(`a protocol is pure and may not import ${target}`);
      }
    });
  }
  return findings;
}
