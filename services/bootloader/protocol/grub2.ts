/** grub.cfg: run as GRUB runs it, as far as that decides what the menu has and what an entry loads. */
import { fail } from './disk.ts';
import { parseGrubScript, type Command, type Script, type Word } from './grub_script.ts';
import { folderOf, modules, withoutDevice, type Choice, type Entry, type Menu } from './menu.ts';
import type { Tree } from './tree.ts';

const MAX_STEPS = 100_000;
const MAX_TEXT = 1 << 16;
const MAX_DEPTH = 32;
const MAX_ENTRIES = 1000;
const MAX_CONFIG = 1 << 20;
const ENVIRONMENT_BLOCK = 1024;

/** What GRUB for Xen says of itself. */
const PLATFORM: Readonly<Record<string, string>> = {
  grub_platform: 'xen',
  grub_cpu: 'x86_64',
  root: 'hd0',
  feature_menuentry_id: 'y',
  feature_menuentry_options: 'y',
  feature_default_font_path: 'y',
  feature_all_video_module: 'y',
  feature_chainloader_bpb: 'y',
  feature_nativedisk_cmd: 'y',
  feature_ntldr: 'y',
  feature_platform_search_hint: 'y',
  feature_timeout_style: 'y',
};

/** What the commands of an entry have loaded so far. */
interface Loaded {
  kernel: { path: string; args: string } | undefined;
  hypervisor: string | undefined;
  modules: { path: string; args: string }[];
  initrds: string[];
}

interface Level {
  readonly entries: Entry[];
  readonly place: readonly number[];
  readonly menus: readonly string[];
  next: number;
}

/** A function's `return`. */
class Returned {
  readonly status: boolean;
  constructor(status: boolean) {
    this.status = status;
  }
}

export function grub2Menu(text: string, tree: Tree, path: string): Menu {
  const run = new Run(tree, folderOf(path));
  run.file(text);
  return { entries: run.entries, standard: run.variable('default') || '0' };
}

class Run {
  readonly entries: Entry[] = [];
  readonly #tree: Tree;
  readonly #prefix: string;
  readonly #variables = new Map<string, string>(Object.entries(PLATFORM));
  readonly #functions = new Map<string, Script>();
  #arguments: readonly string[] = [];
  #status = true;
  #steps = 0;
  #depth = 0;
  #level: Level;
  #loaded: Loaded | undefined;

  constructor(tree: Tree, prefix: string) {
    this.#tree = tree;
    this.#prefix = prefix;
    this.#variables.set('prefix', prefix);
    this.#level = { entries: this.entries, place: [], menus: [], next: 0 };
  }

  variable(name: string): string {
    if (/^\d$/.test(name)) return name === '0' ? '' : (this.#arguments[Number(name) - 1] ?? '');
    if (name === '#') return String(this.#arguments.length);
    if (name === '@' || name === '*') return this.#arguments.join(' ');
    if (name === '?') return this.#status ? '0' : '1';
    return this.#variables.get(name) ?? '';
  }

  script(script: Script): boolean {
    if (++this.#depth > MAX_DEPTH) fail('its blocks and functions are nested too deep');
    for (const command of script) this.#status = this.#command(command);
    this.#depth--;
    return this.#status;
  }

  #step(): void {
    if (++this.#steps > MAX_STEPS) fail('it does not come to an end');
  }

  #command(command: Command): boolean {
    this.#step();
    switch (command.kind) {
      case 'if':
        for (const { condition, body } of command.branches) if (this.script(condition)) return this.script(body);
        return command.otherwise.length === 0 || this.script(command.otherwise);
      case 'loop':
        while (this.script(command.condition) !== command.until) {
          this.#step();
          this.script(command.body);
        }
        return true;
      case 'for':
        for (const word of this.#expand(command.words)) {
          this.#step();
          this.#set(command.name, word);
          this.script(command.body);
        }
        return true;
      case 'function':
        this.#functions.set(command.name, command.body);
        return true;
      default:
        return this.#simple(this.#expand(command.words), command.block);
    }
  }

  /** Words with their variables' values; what was not quoted is split at blanks, and gone if it is empty. */
  #expand(words: readonly Word[]): string[] {
    const out: string[] = [];
    for (const { parts, quoted } of words) {
      let current = '';
      let there = quoted;
      for (const part of parts) {
        const text = 'text' in part ? part.text : this.variable(part.name);
        const pieces = 'text' in part || part.quoted ? [text] : text.split(/\s+/);
        pieces.forEach((piece, i) => {
          if (i > 0) {
            if (there || current !== '') out.push(current);
            current = '';
            there = false;
          }
          current += piece;
        });
        if (current.length > MAX_TEXT || out.length > MAX_TEXT) fail('a text in it grows too long');
      }
      if (there || current !== '') out.push(current);
    }
    return out;
  }

  #set(name: string, value: string): void {
    if (value.length > MAX_TEXT || this.#variables.size > MAX_ENTRIES) fail('its variables grow too large');
    this.#variables.set(name, value);
  }

  #simple([name, ...args]: string[], block: Script | undefined): boolean {
    if (name === undefined) return true;
    const assignment = /^([A-Za-z_]\w*)=(.*)$/s.exec(name);
    if (assignment) this.#set(assignment[1]!, assignment[2]!);
    const body = this.#functions.get(name);
    if (body) return this.#call(body, args);
    if (name === 'return') throw new Returned((args[0] ?? '0') === '0');
    return COMMANDS[name]?.(this, args, block) ?? true;
  }

  #call(body: Script, args: readonly string[]): boolean {
    const [outer, depth] = [this.#arguments, this.#depth];
    this.#arguments = args;
    try {
      return this.script(body);
    } catch (error) {
      if (!(error instanceof Returned)) throw error;
      this.#depth = depth;
      return error.status;
    } finally {
      this.#arguments = outer;
    }
  }

  // ---- commands

  set(args: readonly string[]): boolean {
    for (const arg of args) {
      const at = arg.indexOf('=');
      if (at > 0) this.#set(arg.slice(0, at), arg.slice(at + 1));
    }
    return true;
  }

  unset(args: readonly string[]): boolean {
    for (const name of args) this.#variables.delete(name);
    return true;
  }

  absolute(path: string): string {
    const plain = withoutDevice(path);
    return plain.startsWith('/') ? plain : `${this.#prefix}/${plain}`;
  }

  exists(path: string, kind?: 'file' | 'folder'): boolean {
    return this.#tree.has(this.absolute(path), kind);
  }

  sizeOf(path: string): number {
    return this.#tree.size(this.absolute(path)) ?? 0;
  }

  /** GRUB's environment block: a line of comment, NAME=VALUE lines, padding. */
  loadEnvironment(args: readonly string[]): boolean {
    const file = args.findIndex((arg) => arg === '-f' || arg === '--file');
    const path = file >= 0 ? args[file + 1] : undefined;
    const bytes = this.#tree.read(this.absolute(path ?? 'grubenv'), 64 * ENVIRONMENT_BLOCK);
    if (!bytes) return false;
    for (const line of Buffer.from(bytes).toString().split('\n')) {
      const [, name, value] = /^([A-Za-z_]\w*)=(.*)$/.exec(line) ?? [];
      if (name !== undefined) this.#set(name, value!.replace(/\\(.)/g, '$1'));
    }
    return true;
  }

  source(path: string | undefined): boolean {
    const bytes = path === undefined ? undefined : this.#tree.read(this.absolute(path), MAX_CONFIG);
    if (!bytes) return false;
    return this.file(Buffer.from(bytes).toString());
  }

  /** A file ends at a `return` outside of functions. */
  file(text: string): boolean {
    return this.#call(parseGrubScript(text), this.#arguments);
  }

  menuEntry(args: readonly string[], body: Script): boolean {
    const { title, id, rest } = heading(args);
    const { place, menus } = this.#takePlace();
    this.entries.push({ title, id, place, menus, choose: () => this.#choose(body, rest) });
    return true;
  }

  subMenu(args: readonly string[], body: Script): boolean {
    const { title } = heading(args);
    const outer = this.#level;
    const { place } = this.#takePlace();
    this.#level = { entries: this.entries, place, menus: [...outer.menus, title], next: 0 };
    try {
      return this.script(body);
    } finally {
      this.#level = outer;
    }
  }

  #takePlace(): { place: number[]; menus: readonly string[] } {
    if (this.entries.length >= MAX_ENTRIES || this.#level.next >= MAX_ENTRIES) fail('its menu is too long');
    return { place: [...this.#level.place, this.#level.next++], menus: this.#level.menus };
  }

  #choose(body: Script, args: readonly string[]): Choice | undefined {
    const loaded: Loaded = { kernel: undefined, hypervisor: undefined, modules: [], initrds: [] };
    this.#loaded = loaded;
    this.#steps = 0;
    this.#depth = 0;
    this.#call(body, args);
    this.#loaded = undefined;
    if (loaded.kernel) return { kernel: loaded.kernel.path, args: loaded.kernel.args, initrds: loaded.initrds };
    return modules(loaded.hypervisor, loaded.modules);
  }

  load(what: 'kernel' | 'hypervisor' | 'module', args: readonly string[]): boolean {
    const list = args.filter((arg, i) => !(arg.startsWith('--') && args.slice(0, i).every((a) => a.startsWith('--'))));
    const [path, ...rest] = list;
    if (!this.#loaded || path === undefined) return false;
    const file = { path: withoutDevice(path), args: rest.join(' ') };
    if (what === 'kernel') this.#loaded.kernel = file;
    else if (what === 'hypervisor') this.#loaded.hypervisor = file.path;
    else this.#loaded.modules.push(file);
    return true;
  }

  loadInitrds(args: readonly string[]): boolean {
    if (!this.#loaded) return false;
    this.#loaded.initrds = args.filter((arg) => !arg.startsWith('-')).map(withoutDevice);
    return true;
  }
}

/** `'TITLE' --class linux … --id NAME`: options have a value but --unrestricted. */
function heading(args: readonly string[]): { title: string; id: string | undefined; rest: string[] } {
  let title: string | undefined;
  let id: string | undefined;
  const rest: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (arg === '--unrestricted') continue;
    if (arg.startsWith('--')) {
      const [key, value] = arg.includes('=')
        ? [arg.slice(0, arg.indexOf('=')), arg.slice(arg.indexOf('=') + 1)]
        : [arg, args[++i]];
      if (key === '--id') id = value;
    } else if (title === undefined) title = arg;
    else rest.push(arg);
  }
  return { title: title ?? '', id, rest };
}

type Do = (run: Run, args: readonly string[], block: Script | undefined) => boolean;
const kernel: Do = (run, args) => run.load('kernel', args);
const initrd: Do = (run, args) => run.loadInitrds(args);
const hypervisor: Do = (run, args) => run.load('hypervisor', args);
const module: Do = (run, args) => run.load('module', args);

/** All others do nothing that matters here, and succeed. */
const COMMANDS: Readonly<Record<string, Do>> = {
  __proto__: null as never,
  '[': (run, args) => test(run, args.at(-1) === ']' ? args.slice(0, -1) : args),
  test: (run, args) => test(run, args),
  false: () => false,
  set: (run, args) => run.set(args),
  unset: (run, args) => run.unset(args),
  load_env: (run, args) => run.loadEnvironment(args),
  source: (run, args) => run.source(args[0]),
  '.': (run, args) => run.source(args[0]),
  configfile: (run, args) => run.source(args[0]),
  menuentry: (run, args, block) => block !== undefined && run.menuEntry(args, block),
  submenu: (run, args, block) => block !== undefined && run.subMenu(args, block),
  ...{ linux: kernel, linux16: kernel, linuxefi: kernel, initrd, initrd16: initrd, initrdefi: initrd },
  ...{ multiboot: hypervisor, multiboot2: hypervisor, xen_hypervisor: hypervisor },
  ...{ module, module2: module, xen_module: module },
};

/** The command `test`: -a binds stronger than -o, ! stands before one condition. */
function test(run: Run, args: readonly string[]): boolean {
  const any = splitAt(args, '-o');
  return any.some((all) => splitAt(all, '-a').every((one) => condition(run, one)));
}

function splitAt(args: readonly string[], separator: string): string[][] {
  const out: string[][] = [[]];
  for (const arg of args) {
    if (arg === separator) out.push([]);
    else out.at(-1)!.push(arg);
  }
  return out;
}

const UNARY: Readonly<Record<string, (run: Run, value: string) => boolean>> = {
  '-n': (_, value) => value !== '',
  '-z': (_, value) => value === '',
  '-s': (run, path) => run.sizeOf(path) > 0,
  '-e': (run, path) => run.exists(path),
  '-f': (run, path) => run.exists(path, 'file'),
  '-d': (run, path) => run.exists(path, 'folder'),
};
const BINARY: Readonly<Record<string, (a: string, b: string) => boolean>> = {
  '=': (a, b) => a === b,
  '==': (a, b) => a === b,
  '!=': (a, b) => a !== b,
  '-eq': (a, b) => Number(a) === Number(b),
  '-ne': (a, b) => Number(a) !== Number(b),
  '-lt': (a, b) => Number(a) < Number(b),
  '-le': (a, b) => Number(a) <= Number(b),
  '-gt': (a, b) => Number(a) > Number(b),
  '-ge': (a, b) => Number(a) >= Number(b),
};

function condition(run: Run, args: readonly string[]): boolean {
  if (args[0] === '!') return !condition(run, args.slice(1));
  const [a, b, c] = args;
  if (args.length === 3) return Object.hasOwn(BINARY, b!) && BINARY[b!]!(a!, c!);
  if (args.length === 2) return Object.hasOwn(UNARY, a!) && UNARY[a!]!(run, b!);
  return args.length === 1 && a !== '';
}
