// Workers' code in one script: what it takes, what it refuses, and that services' workers are such.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { bundle, BundleError, makeBundle } from './bundle.ts';

const folder = mkdtempSync(join(tmpdir(), 'xenolith-bundle-'));
after(() => rmSync(folder, { recursive: true }));
const write = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return pathToFileURL(join(folder, name)).href;
};

test('imports, exports, what is only types, the place of a module', () => {
  write('a.ts', 'export const one: number = 1;\nexport type T = number;\nconst two = 2;\nexport { two as deux };\n');
  write('b.ts', "import { one, deux as zwei, type T } from './a.ts';\nexport function sum(): T {\n  return one + zwei;\n}\n"); // prettier-ignore
  const text = [
    "import { basename } from 'node:path';",
    "import { sum } from './b.ts';",
    "import * as a from './a.ts';",
    "import type { T } from './a.ts';",
    'export const { x, y } = { x: sum(), y: a.one };',
    "export const quoted = `\nimport { no } from 'nowhere';\nexport const no = 1;`;",
    'export class Place { readonly name: T | string = basename(import.meta.filename); }',
    'export async function later(): Promise<string> { return import.meta.url; }',
    'globalThis.result = { x, y, quoted, name: new Place().name };',
  ];
  const entry = write('main.ts', text.join('\n'));
  const path = makeBundle(entry, 'main', folder)!;
  createRequire(import.meta.url)(path);
  const { result } = globalThis as unknown as { result: object };
  const quoted = "\nimport { no } from 'nowhere';\nexport const no = 1;";
  assert.deepEqual(result, { x: 3, y: 1, quoted, name: 'main.ts' });
  assert.equal(bundle(entry).sources.length, 3);
});

test('what it does not know is refused, and then there is no bundle', () => {
  const refused: [string, RegExp][] = [
    ["import x from './a.ts';", /is not known/],
    ["import './a.ts';", /is not known/],
    ["void import('./a.ts');", /is not known/],
    ['export let x = 1;', /how x is exported/],
    ['export default 1;', /default export/],
    ["export * from './a.ts';", /is not known/],
    ["export { one } from './a.ts';", /is not known/],
    ["import { self } from './odd.ts'; export const own = self;", /imports itself/],
  ];
  for (const [text, why] of refused) {
    const entry = write('odd.ts', text);
    assert.throws(() => bundle(entry), (error) => error instanceof BundleError && why.test(error.message), text); // prettier-ignore
    assert.equal(makeBundle(entry, 'odd', folder), undefined);
  }
  assert.equal(makeBundle(write('late.ts', 'await 1;\nexport const x = 1;'), 'late', folder), undefined);
});

/** What a worker says first. */
async function loaded(file: string): Promise<unknown> {
  const worker = new Worker(new URL('./worker_loader.cjs', import.meta.url), {
    workerData: { file, name: 'w', folder },
  });
  try {
    return await new Promise((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
  } finally {
    await worker.terminate();
  }
}

test('a worker has what its files hold now, with and without a bundle', async () => {
  const text = (n: number): string => `import { parentPort } from 'node:worker_threads';\nimport { n } from './n.ts';\nparentPort!.postMessage(n + ${n});\n`; // prettier-ignore
  write('n.ts', 'export const n: number = 1;\n');
  const file = write('w.ts', text(1));
  assert.equal(await loaded(file), 2);
  const { bundle: first } = JSON.parse(readFileSync(join(folder, 'w.json'), 'utf8')) as { bundle: string };
  assert.equal(await loaded(file), 2);
  // Another module of the same name.
  assert.equal(await loaded(write('other.ts', text(10))), 11);
  assert.equal(await loaded(file), 2);
  // As long as before, and changed later.
  write('n.ts', 'export const n: number = 5;\n');
  utimesSync(join(folder, 'n.ts'), 1, 1);
  assert.equal(await loaded(file), 6);
  assert.throws(() => statSync(join(folder, first)), 'the old bundle is gone');
  // Its bundle was taken away.
  const { bundle: second } = JSON.parse(readFileSync(join(folder, 'w.json'), 'utf8')) as { bundle: string };
  rmSync(join(folder, second));
  assert.equal(await loaded(file), 6);
  write('n.ts', "export * from 'node:path';\nexport { sep as n } from 'node:path';\n");
  assert.equal(await loaded(file), '/1');
});

for (const service of ['block', 'network'])
  test(`the worker of the ${service} service can be bundled`, () => {
    const { sources } = bundle(new URL(`../services/${service}/backend/worker.ts`, import.meta.url).href);
    assert.ok(sources.length > 10);
  });
