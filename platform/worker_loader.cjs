'use strict';
// What a service's worker runs first (service_domain.ts). Its code is TypeScript in some forty files; to strip their types and link them takes ten times as
// long as all else of its start. So whoever finds no bundle of it, or one of other sources, makes one (bundle.ts); and V8 keeps what it has compiled.
const fs = require('node:fs');
const { enableCompileCache } = require('node:module');
const { join } = require('node:path');
const { workerData } = require('node:worker_threads');

/** `file`: the worker's module; `name`: what its bundle is called; `folder`: where that is. */
const { file, name, folder } = workerData;

/** The bundle's path, if it was made of what the files hold now. */
function made() {
  try {
    const { node, entry, bundle, sources } = JSON.parse(fs.readFileSync(join(folder, `${name}.json`), 'utf8'));
    const same = ([path, size, mtime]) => {
      const stat = fs.statSync(path);
      return stat.size === size && stat.mtimeMs === mtime;
    };
    const path = join(folder, bundle);
    return node === process.version && entry === file && sources.every(same) && fs.existsSync(path) ? path : undefined;
  } catch {
    return undefined; // there is none yet, or a file has gone
  }
}

async function load() {
  enableCompileCache(folder);
  const found = made();
  try {
    if (found) return require(found);
  } catch (error) {
    if (fs.existsSync(found)) throw error; // else another process has just replaced it
  }
  // Where none can be made or kept, its files are loaded one by one each time.
  const { makeBundle } = await import('./bundle.ts');
  const path = makeBundle(file, name, folder);
  return path ? require(path) : import(file);
}

void load();
