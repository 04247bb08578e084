/** A debugger's session: packets in, replies out, a guest behind an interface. All of the guest stops and goes on together. */
import { PACKET_SIZE } from './packet.ts';
import { REGISTERS, TARGET_XML } from './registers.ts';

/** What Z and z packets set: software and hardware breakpoints, write, read and access watchpoints. */
export type Point = 0 | 1 | 2 | 3 | 4;

export interface Stop {
  readonly vcpu: number;
  readonly why: 'break' | 'write' | 'read' | 'access' | 'step' | 'interrupt' | 'crash';
  readonly address: bigint;
}

/** The guest, stopped unless resume() was called last. */
export interface Target {
  /** vCPUs that are up. */
  vcpus(): number[];
  /** One line on a vCPU: mode, privilege. */
  describe(vcpu: number): string;
  /** The next instructions, as the vCPU's mode decodes them. */
  disassemble(vcpu: number, count: number): string[];
  /** `index` in REGISTERS; exactly its size. */
  readRegister(vcpu: number, index: number): Uint8Array;
  /** False: it cannot be changed, or not to that. */
  writeRegister(vcpu: number, index: number, value: Uint8Array): boolean;
  /** As many bytes as there are, up to `length`. */
  readMemory(vcpu: number, address: bigint, length: number): Uint8Array;
  writeMemory(vcpu: number, address: bigint, bytes: Uint8Array): boolean;
  setPoint(point: Point, address: bigint, length: number, on: boolean): boolean;
  /** Lets the named vCPUs go; the answer is a Stop for the session. */
  resume(actions: readonly { vcpu: number; step: boolean }[]): void;
  /** Stops it; when this returns nothing runs any more. */
  interrupt(): void;
  /** No points, everything runs, the debugger is gone. */
  detach(): void;
  kill(): void;
}

const SIGINT = 2;
const SIGTRAP = 5;
const SIGSEGV = 11;
const UNSUPPORTED = '';
const ERROR_USAGE = 'E22';
const ERROR_MEMORY = 'E14';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

function fromHex(text: string): Buffer | null {
  return /^([0-9a-f]{2})*$/i.test(text) ? Buffer.from(text, 'hex') : null;
}

/** A number as packets have it, of at most 64 bits; null else. */
function number(text: string | undefined): bigint | null {
  return text !== undefined && /^[0-9a-f]{1,16}$/i.test(text) ? BigInt(`0x${text}`) : null;
}

function small(text: string | undefined, most: number): number | null {
  const value = number(text);
  return value !== null && value <= BigInt(most) ? Number(value) : null;
}

/** `address,length` */
function range(text: string, most: number): { address: bigint; length: number } | null {
  const [first, second] = text.split(',');
  const address = number(first);
  const length = small(second, most);
  return address === null || length === null ? null : { address, length };
}

const FEATURES = 'qXfer:features:read+;swbreak+;hwbreak+;vContSupported+;QStartNoAckMode+';

export class Session {
  readonly #target: Target;
  readonly #send: (reply: string | Uint8Array) => void;
  /** Acknowledge packets: until the debugger asks for none. */
  acknowledge = true;
  /** The debugger is done with the guest. */
  over = false;
  #running = false;
  #crashed = false;
  #vcpu = 0;
  #last: Stop = { vcpu: 0, why: 'step', address: 0n };
  readonly #points = new Set<string>();

  constructor(target: Target, send: (reply: string | Uint8Array) => void) {
    this.#target = target;
    this.#send = send;
  }

  /** The guest has stopped. */
  stopped(stop: Stop): void {
    if (!this.#running) return;
    this.#running = false;
    this.#crashed = stop.why === 'crash';
    this.#last = stop;
    this.#vcpu = stop.vcpu;
    this.#send(this.#stopReply());
  }

  /** The guest is gone: `code` of its end, or killed by `signal`. */
  ended(how: { code: number } | { signal: number }): void {
    if (this.#running) this.#send('code' in how ? `W${byte(how.code)}` : `X${byte(how.signal)}`);
    this.#running = false;
    this.over = true;
  }

  interrupt(): void {
    if (!this.#running) return;
    this.#target.interrupt();
    this.stopped({ vcpu: this.#vcpu, why: 'interrupt', address: 0n });
  }

  packet(data: Buffer): void {
    const reply = this.#answer(data);
    if (reply !== null) this.#send(reply);
  }

  /** The reply; null: none (yet). */
  #answer(data: Buffer): string | Uint8Array | null {
    // All-stop: while the guest runs a debugger waits; what it sends all the same is not carried out.
    if (this.#running) return ERROR_USAGE;
    const text = data.toString('latin1');
    const rest = text.slice(1);
    switch (text[0]) {
      case '?':
        return this.#stopReply();
      case 'g':
        return REGISTERS.map((_, i) => hex(this.#target.readRegister(this.#vcpu, i))).join('');
      case 'G':
        return this.#writeAll(rest);
      case 'p':
        return this.#readOne(rest);
      case 'P':
        return this.#writeOne(rest);
      case 'm':
        return this.#read(rest);
      case 'M':
        return this.#write(rest, (body) => fromHex(body));
      case 'X':
        return this.#write(rest, (body) => Buffer.from(body, 'latin1'));
      case 'H':
        return this.#select(rest);
      case 'T':
        return this.#thread(rest) === null ? 'E01' : 'OK';
      case 'c':
      case 's':
      case 'C':
      case 'S':
        return this.#oldResume(text[0], rest);
      case 'Z':
      case 'z':
        return this.#point(text[0] === 'Z', rest);
      case 'D':
        this.over = true;
        this.#target.detach();
        return 'OK';
      case 'k':
        this.over = true;
        this.#target.kill();
        return null;
      case 'q':
      case 'Q':
        return this.#query(text);
      case 'v':
        return this.#verbose(text);
      default:
        return UNSUPPORTED;
    }
  }

  // ---- stops
  #stopReply(): string {
    const { why, vcpu, address } = this.#last;
    const signal = why === 'interrupt' ? SIGINT : why === 'crash' ? SIGSEGV : SIGTRAP;
    const hardware = this.#points.has(`1 ${address}`) && !this.#points.has(`0 ${address}`);
    const reason = {
      break: hardware ? 'hwbreak:;' : 'swbreak:;',
      write: `watch:${address.toString(16)};`,
      read: `rwatch:${address.toString(16)};`,
      access: `awatch:${address.toString(16)};`,
      step: '',
      interrupt: '',
      crash: '',
    }[why];
    return `T${byte(signal)}thread:${(vcpu + 1).toString(16)};${reason}`;
  }

  #go(actions: { vcpu: number; step: boolean }[]): null | string {
    if (actions.length === 0) return ERROR_USAGE;
    if (this.#crashed) {
      // There is no way on from here.
      this.over = true;
      return `X${byte(SIGSEGV)}`;
    }
    this.#running = true;
    this.#target.resume(actions);
    return null;
  }

  #oldResume(kind: string, rest: string): string | null {
    const body = /[CS]/.test(kind) ? rest.replace(/^[0-9a-f]{2};?/i, '') : rest;
    if (body !== '') {
      const address = number(body);
      const index = REGISTERS.findIndex(({ name }) => name === 'rip');
      if (address === null) return ERROR_USAGE;
      const bytes = Buffer.alloc(8);
      bytes.writeBigUInt64LE(address);
      if (!this.#target.writeRegister(this.#vcpu, index, bytes)) return ERROR_USAGE;
    }
    if (/s/i.test(kind)) return this.#go([{ vcpu: this.#vcpu, step: true }]);
    return this.#go(this.#target.vcpus().map((vcpu) => ({ vcpu, step: false })));
  }

  // ---- registers
  #readOne(rest: string): string {
    const index = small(rest, REGISTERS.length - 1);
    return index === null ? ERROR_USAGE : hex(this.#target.readRegister(this.#vcpu, index));
  }

  #writeOne(rest: string): string {
    const [which, value] = rest.split('=');
    const index = small(which, REGISTERS.length - 1);
    const bytes = fromHex(value ?? '');
    if (index === null || !bytes || bytes.length !== REGISTERS[index]!.bits / 8) return ERROR_USAGE;
    return this.#target.writeRegister(this.#vcpu, index, bytes) ? 'OK' : ERROR_USAGE;
  }

  /** All registers; those that cannot be changed have to be as they are. */
  #writeAll(rest: string): string {
    const bytes = fromHex(rest);
    const size = REGISTERS.reduce((sum, { bits }) => sum + bits / 8, 0);
    if (!bytes || bytes.length !== size) return ERROR_USAGE;
    let at = 0;
    let done = true;
    REGISTERS.forEach(({ bits }, i) => {
      const value = bytes.subarray(at, (at += bits / 8));
      const same = value.equals(this.#target.readRegister(this.#vcpu, i));
      if (!same && !this.#target.writeRegister(this.#vcpu, i, value)) done = false;
    });
    return done ? 'OK' : ERROR_USAGE;
  }

  // ---- memory
  #read(rest: string): string {
    const where = range(rest, PACKET_SIZE / 2 - 16);
    if (!where) return ERROR_USAGE;
    if (where.length === 0) return '';
    const bytes = this.#target.readMemory(this.#vcpu, where.address, where.length);
    return bytes.length === 0 ? ERROR_MEMORY : hex(bytes);
  }

  #write(rest: string, decode: (body: string) => Buffer | null): string {
    const colon = rest.indexOf(':');
    const where = colon < 0 ? null : range(rest.slice(0, colon), PACKET_SIZE);
    const bytes = where && decode(rest.slice(colon + 1));
    if (!where || !bytes || bytes.length !== where.length) return ERROR_USAGE;
    if (bytes.length === 0) return 'OK';
    return this.#target.writeMemory(this.#vcpu, where.address, bytes) ? 'OK' : ERROR_MEMORY;
  }

  #point(on: boolean, rest: string): string {
    const [kind, address, length] = rest.split(/[,;]/);
    const point = small(kind, 4) as Point | null;
    const at = number(address);
    const size = small(length, 0x1000);
    if (point === null || kind!.length !== 1) return UNSUPPORTED;
    if (at === null || size === null) return ERROR_USAGE;
    const key = `${point} ${at}`;
    // The two kinds of breakpoint are one to the engine.
    const shared = point <= 1 && this.#points.has(`${1 - point} ${at}`);
    if (!shared && !this.#target.setPoint(point, at, point <= 1 ? 1 : size, on)) return ERROR_USAGE;
    if (on) this.#points.add(key);
    else this.#points.delete(key);
    return 'OK';
  }

  // ---- threads: a vCPU's number + 1
  #thread(text: string): number | null {
    const id = small(text, 0xffff);
    return id !== null && this.#target.vcpus().includes(id - 1) ? id - 1 : null;
  }

  #select(rest: string): string {
    const id = rest.slice(1);
    if (!/^[gc]/.test(rest)) return UNSUPPORTED;
    // 0 is any, -1 all
    if (id === '0' || id === '-1') return 'OK';
    const vcpu = this.#thread(id);
    if (vcpu === null) return 'E01';
    this.#vcpu = vcpu;
    return 'OK';
  }

  // ---- what has a name
  #query(text: string): string | Uint8Array {
    const [name, ...more] = text.split(/[:,]/);
    switch (name) {
      case 'qSupported':
        return `PacketSize=${PACKET_SIZE.toString(16)};${FEATURES}`;
      case 'QStartNoAckMode':
        this.acknowledge = false;
        return 'OK';
      case 'qXfer':
        return this.#transfer(more);
      case 'qC':
        return `QC${(this.#vcpu + 1).toString(16)}`;
      case 'qAttached':
        return '1';
      case 'qfThreadInfo':
        return `m${this.#target.vcpus().map((vcpu) => (vcpu + 1).toString(16)).join(',')}`; // prettier-ignore
      case 'qsThreadInfo':
        return 'l';
      case 'qThreadExtraInfo': {
        const vcpu = this.#thread(more[0] ?? '');
        return vcpu === null ? 'E01' : Buffer.from(this.#target.describe(vcpu)).toString('hex');
      }
      case 'qRcmd':
        return this.#monitor(fromHex(more[0] ?? '')?.toString('latin1') ?? '');
      default:
        return UNSUPPORTED;
    }
  }

  #transfer([object, action, annex, at, length]: string[]): string {
    if (object !== 'features' || action !== 'read') return UNSUPPORTED;
    const from = small(at, 0xffffff);
    const most = small(length, 0xffffff);
    if (annex !== 'target.xml') return 'E00';
    if (from === null || most === null) return ERROR_USAGE;
    const part = TARGET_XML.slice(from, from + Math.min(most, PACKET_SIZE / 2));
    return `${from + part.length < TARGET_XML.length ? 'm' : 'l'}${part}`;
  }

  /** `monitor COMMAND` of the debugger's prompt. */
  #monitor(command: string): string {
    const [, count] = /^x(?: +(\d{1,3}))?$/.exec(command.trim()) ?? [];
    if (/^x\b/.test(command.trim())) {
      const lines = this.#target.disassemble(this.#vcpu, Number(count ?? 1));
      return Buffer.from(lines.map((line) => `${line}\n`).join('')).toString('hex');
    }
    const text =
      command.trim() === 'mode'
        ? this.#target.vcpus().map((vcpu) => `vCPU ${vcpu}: ${this.#target.describe(vcpu)}\n`).join('') // prettier-ignore
        : 'monitor mode: what mode each vCPU is in\nmonitor x COUNT: the next instructions, as that mode decodes them\n';
    return Buffer.from(text).toString('hex');
  }

  #verbose(text: string): string | null {
    if (text === 'vCont?') return 'vCont;c;C;s;S';
    if (text.startsWith('vCont;')) return this.#vCont(text.slice(6).split(';'));
    if (text.startsWith('vKill')) {
      this.over = true;
      this.#target.kill();
      return 'OK';
    }
    return UNSUPPORTED; // vMustReplyEmpty among them
  }

  /** For each vCPU the first action that names it, or none; without any it stays where it is. */
  #vCont(actions: string[]): string | null {
    const chosen = new Map<number, boolean>();
    for (const action of actions) {
      const [, kind, thread] = /^(?:([cs])|[CS][0-9a-f]{2})(?::(-1|[0-9a-f]+))?$/i.exec(action) ?? [];
      if (kind === undefined && !/^[CS][0-9a-f]{2}/i.test(action)) return ERROR_USAGE;
      const step = /^s/i.test(action);
      const all = thread === undefined || thread === '-1' || thread === '0';
      const named = all ? this.#target.vcpus() : [this.#thread(thread)];
      for (const vcpu of named) {
        if (vcpu === null) return 'E01';
        if (!chosen.has(vcpu)) chosen.set(vcpu, step);
      }
    }
    return this.#go([...chosen].map(([vcpu, step]) => ({ vcpu, step })));
  }
}

const byte = (value: number): string => (value & 0xff).toString(16).padStart(2, '0');
