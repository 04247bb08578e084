// One script of a module and all that it imports from the project, so that a worker's code is loaded in one go. Packages and Node's own modules
// stay outside. It takes what the project's own style has, and nothing else: no cycles, no default exports, no `export let`, no dynamic imports.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Script } from 'node:vm';
import { parse, type Import } from 'es-module-lexer/js';

interface Linked {
  code: string;
  /** Of the files in it, as they were when they were read: path, size, time of change. */
  sources: [string, number, number][];
}

export class BundleError extends Error {}

/** Places of a module's text to be written otherwise. */
type Edits = { start: number; end: number; text: string }[];

class Linker {
  readonly parts: string[] = [];
  readonly sources: Linked['sources'] = [];
  /** Modules by their URL: their number, or -1 while what they import is being linked. */
  readonly #numbers = new Map<string, number>();

  /** The number of a module, which stands behind all that it imports. */
  add(url: string): number {
    const known = this.#numbers.get(url);
    if (known === -1) throw new BundleError(`${url} imports itself by way of others`);
    if (known !== undefined) return known;
    this.#numbers.set(url, -1);
    const path = fileURLToPath(url);
    const { size, mtimeMs } = statSync(path);
    const source = stripped(readFileSync(path, 'utf8'));
    this.sources.push([path, size, mtimeMs]);
    const body = this.#module(url, source);
    const number = this.parts.length;
    this.#numbers.set(url, number);
    this.parts.push(`// ${url}\nmodules[${number}] = ((exports) => {\n${body}\nreturn exports;\n})({});\n`);
    return number;
  }

  #module(url: string, source: string): string {
    const [imports, exports] = parse(source, url);
    const edits: Edits = imports.map((each) => this.#import(url, source, each));
    const names: string[] = [];
    for (const each of exports) {
      if (each.type !== 'direct') throw new BundleError(`${url} exports what is another module's`);
      const { localName: local } = each;
      if (local === undefined || each.name === 'default') throw new BundleError(`${url} has a default export`);
      names.push(`exports.${each.name} = ${local};`);
      // Several names may stand in one statement.
      if (edits.some(({ start, end }) => start <= each.exportStart && each.exportStart < end)) continue;
      const form = /^export\s*(\{[^{}]*\}|(?!let\b|var\b)(?=[a-z]))/;
      const [keyword] = form.exec(source.slice(each.exportStart)) ?? [];
      if (!keyword) throw new BundleError(`${url}: how ${each.name} is exported is not known`);
      edits.push({ start: each.exportStart, end: each.exportStart + keyword.length, text: '' });
    }
    edits.sort((a, b) => a.start - b.start);
    let [text, at] = ['', 0];
    for (const { start, end, text: instead } of edits) {
      text += source.slice(at, start) + instead;
      at = end;
    }
    return `${text}${source.slice(at)}\n${names.join(' ')}`;
  }

  #import(url: string, source: string, found: Import): Edits[number] {
    const { importStart: start, importEnd: end, type } = found;
    if (type === 'import-meta') {
      const filename = fileURLToPath(url);
      return { start, end, text: `(${JSON.stringify({ url, filename, dirname: dirname(filename) })})` };
    }
    const statement = source.slice(start, end);
    const [, clause] = /^import\s+([^'"]*?)\s*from\s/.exec(statement) ?? [];
    if (type !== 'static' || clause === undefined) throw new BundleError(`${url}: ${statement} is not known`);
    const { specifier } = found;
    const own = specifier.startsWith('.');
    const from = own ? `modules[${this.add(new URL(specifier, url).href)}]` : `require(${JSON.stringify(specifier)})`;
    const [, all] = /^\*\s+as\s+(\w+)$/.exec(clause) ?? [];
    if (all !== undefined) return { start, end, text: `const ${all} = ${from}` };
    if (!/^\{[^{}]*\}$/.test(clause)) throw new BundleError(`${url}: ${statement} is not known`);
    return { start, end, text: `const ${clause.replace(/(\w+)\s+as\s+/g, '$1: ')} = ${from}` };
  }
}

/** Node says at each first use that this is an experiment, which it is not any more when it does the same by itself. */
function stripped(source: string): string {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return stripTypeScriptTypes(source);
  } finally {
    process.emitWarning = emitWarning;
  }
}

/** The script, to be run by `require` as CommonJS is. */
export function bundle(entry: string): Linked {
  const linker = new Linker();
  linker.add(entry);
  const { parts, sources } = linker;
  return { code: `'use strict';\nconst modules = [];\n${parts.join('')}`, sources };
}

/** Makes the bundle `name` in `folder`, where worker_loader.cjs looks for it; its path, or undefined if that cannot be. */
export function makeBundle(entry: string, name: string, folder: string): string | undefined {
  try {
    const { code, sources } = bundle(entry);
    // What cannot be compiled is found out here, not when half of it has run.
    new Script(`(function (exports, require, module) {${code}\n})`, { filename: `${name}.cjs` });
    const file = `${name}-${createHash('sha256').update(code).digest('hex').slice(0, 16)}.cjs`;
    mkdirSync(folder, { recursive: true });
    put(join(folder, file), code);
    const before = bundleOf(folder, name);
    put(join(folder, `${name}.json`), JSON.stringify({ node: process.version, entry, bundle: file, sources }));
    if (before !== undefined && before !== file) rmSync(join(folder, before), { force: true });
    return join(folder, file);
  } catch {
    return undefined;
  }
}

function bundleOf(folder: string, name: string): string | undefined {
  try {
    return (JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8')) as { bundle: string }).bundle;
  } catch {
    return undefined;
  }
}

/** Whoever reads it meanwhile has the old one or the new one whole. */
function put(path: string, text: string): void {
  const fresh = `${path}.${process.pid}.${performance.now()}`;
  writeFileSync(fresh, text);
  renameSync(fresh, path);
}
