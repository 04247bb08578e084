import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REGISTERS, TARGET_XML } from './registers.ts';
import { Session, type Point, type Stop, type Target } from './session.ts';

const MEMORY = 0x100;

/** A guest of two vCPUs whose memory is 256 bytes at 0 and whose registers hold anything. */
class Fake implements Target {
  readonly memory = Uint8Array.from({ length: MEMORY }, (_, i) => i);
  readonly registers = REGISTERS.map(({ bits }) => new Uint8Array(bits / 8));
  readonly log: string[] = [];
  vcpus = (): number[] => [0, 1];
  describe = (vcpu: number): string => `vCPU ${vcpu}`;
  disassemble = (_vcpu: number, count: number): string[] => Array.from({ length: count }, (_, i) => `i${i}`);
  readRegister = (_vcpu: number, index: number): Uint8Array => this.registers[index]!;
  writeRegister(vcpu: number, index: number, value: Uint8Array): boolean {
    const { name } = REGISTERS[index]!;
    if (name === 'cr0') return false;
    this.log.push(`${vcpu}:${name}`);
    this.registers[index] = Uint8Array.from(value);
    return true;
  }
  readMemory = (_vcpu: number, address: bigint, length: number): Uint8Array =>
    address < MEMORY ? this.memory.slice(Number(address), Number(address) + length) : new Uint8Array(0);
  writeMemory(_vcpu: number, address: bigint, bytes: Uint8Array): boolean {
    if (address + BigInt(bytes.length) > MEMORY) return false;
    this.memory.set(bytes, Number(address));
    return true;
  }
  setPoint(point: Point, address: bigint, length: number, on: boolean): boolean {
    this.log.push(`${on ? '+' : '-'}${point} ${address} ${length}`);
    return true;
  }
  resume(actions: readonly { vcpu: number; step: boolean }[]): void {
    this.log.push(actions.map(({ vcpu, step }) => `${step ? 's' : 'c'}${vcpu}`).join(' '));
  }
  interrupt = (): void => void this.log.push('interrupt');
  detach = (): void => void this.log.push('detach');
  kill = (): void => void this.log.push('kill');
}

function open(): { fake: Fake; session: Session; sent: string[]; ask: (text: string) => string | undefined } {
  const fake = new Fake();
  const sent: string[] = [];
  const session = new Session(fake, (reply) => sent.push(Buffer.from(reply as string).toString('latin1')));
  const ask = (text: string): string | undefined => {
    const before = sent.length;
    session.packet(Buffer.from(text, 'latin1'));
    return sent.length > before ? sent.at(-1) : undefined;
  };
  return { fake, session, sent, ask };
}

const register = (name: string): number => REGISTERS.findIndex((r) => r.name === name);
const hit = (why: Stop['why'], address = 0n, vcpu = 0): Stop => ({ vcpu, why, address });

test('what a debugger asks first', () => {
  const { ask, session } = open();
  assert.match(ask('qSupported:multiprocess+;swbreak+')!, /PacketSize=4000;.*qXfer:features:read\+/);
  assert.equal(ask('vMustReplyEmpty'), '');
  assert.equal(ask('qTStatus'), '');
  assert.equal(ask('!'), '');
  assert.equal(ask('?'), 'T05thread:1;');
  assert.equal(ask('qfThreadInfo'), 'm1,2');
  assert.equal(ask('qsThreadInfo'), 'l');
  assert.equal(ask('Hg2'), 'OK');
  assert.equal(ask('qC'), 'QC2');
  assert.equal(ask('Hg9'), 'E01');
  assert.equal(ask('T2'), 'OK');
  assert.equal(ask('T3'), 'E01');
  assert.equal(ask('QStartNoAckMode'), 'OK');
  assert.equal(session.acknowledge, false);
});

test('the target description comes in parts and names each register once', () => {
  const { ask } = open();
  let xml = '';
  for (;;) {
    const part = ask(`qXfer:features:read:target.xml:${xml.length.toString(16)},400`)!;
    xml += part.slice(1);
    if (part[0] === 'l') break;
    assert.equal(part[0], 'm');
    assert.equal(part.length, 0x401);
  }
  assert.equal(xml, TARGET_XML);
  const names = [...xml.matchAll(/<reg name="(\w+)"/g)].map(([, name]) => name);
  assert.deepEqual(
    names,
    REGISTERS.map(({ name }) => name),
  );
  assert.equal(new Set(names).size, names.length);
  assert.equal(ask('qXfer:features:read:other.xml:0,400'), 'E00');
});

test('registers: all, one, and those that cannot be changed', () => {
  const { ask, fake } = open();
  const size = REGISTERS.reduce((sum, { bits }) => sum + bits / 8, 0);
  const all = ask('g')!;
  assert.equal(all.length, 2 * size);
  const rip = register('rip').toString(16);
  assert.equal(ask(`P${rip}=8877665544332211`), 'OK');
  assert.equal(ask(`p${rip}`), '8877665544332211');
  assert.equal(ask(`P${rip}=88`), 'E22');
  assert.equal(ask(`P${register('cr0').toString(16)}=0000000000000000`), 'E22');
  assert.equal(ask('p999'), 'E22');
  // G of what is there already changes nothing, the control registers among it.
  fake.log.length = 0;
  assert.equal(ask(`G${ask('g')}`), 'OK');
  assert.deepEqual(fake.log, []);
  assert.equal(ask(`G${'01'.repeat(size)}`), 'E22');
  assert.equal(ask('G00'), 'E22');
});

test('memory: read, short at an end, written in hexadecimal and binary', () => {
  const { ask, fake } = open();
  assert.equal(ask('m10,4'), '10111213');
  assert.equal(ask('mfe,10'), 'feff');
  assert.equal(ask('m100,1'), 'E14');
  assert.equal(ask('mffffffffffffffff,1'), 'E14');
  assert.equal(ask('m10'), 'E22');
  assert.equal(ask('m0,ffffffff'), 'E22');
  assert.equal(ask('M10,2:aabb'), 'OK');
  assert.equal(ask('X12,2:\x00\xff'), 'OK');
  assert.deepEqual([...fake.memory.subarray(0x10, 0x14)], [0xaa, 0xbb, 0, 0xff]);
  assert.equal(ask('M10,3:aabb'), 'E22');
  assert.equal(ask('Mff,2:aabb'), 'E14');
  assert.equal(ask('X0,0:'), 'OK');
});

test('going on and stopping: one answer, when it comes', () => {
  const { ask, session, fake, sent } = open();
  assert.equal(ask('vCont?'), 'vCont;c;C;s;S');
  assert.equal(ask('vCont;s:2;c'), undefined);
  assert.equal(fake.log.at(-1), 's1 c0');
  assert.equal(ask('m0,1'), 'E22', 'the guest runs');
  session.stopped(hit('step', 0n, 1));
  assert.equal(sent.at(-1), 'T05thread:2;');
  session.stopped(hit('step'));
  assert.equal(sent.filter((s) => s.startsWith('T')).length, 1, 'a stop is told once');
  ask('c');
  assert.equal(fake.log.at(-1), 'c0 c1');
  session.interrupt();
  assert.equal(sent.at(-1), 'T02thread:2;');
  session.interrupt();
  assert.equal(fake.log.filter((line) => line === 'interrupt').length, 1);
  assert.equal(ask('vCont;x'), 'E22');
  assert.equal(ask('vCont;s:7'), 'E01');
  assert.equal(ask('s1234'), undefined);
  assert.equal(Buffer.from(fake.registers[register('rip')]!).toString('hex'), '3412000000000000');
  session.stopped(hit('write', 0x40n));
  assert.equal(sent.at(-1), 'T05thread:1;watch:40;');
  ask('C05');
  session.stopped(hit('access', 0x41n));
  assert.equal(sent.at(-1), 'T05thread:1;awatch:41;');
});

test('breakpoints of both kinds at one address are one to the guest', () => {
  const { ask, session, fake, sent } = open();
  assert.equal(ask('Z0,1000,1'), 'OK');
  assert.equal(ask('Z1,1000,1'), 'OK');
  assert.deepEqual(fake.log, ['+0 4096 1']);
  ask('c');
  session.stopped(hit('break', 0x1000n));
  assert.equal(sent.at(-1), 'T05thread:1;swbreak:;');
  assert.equal(ask('z0,1000,1'), 'OK');
  assert.equal(fake.log.length, 2, 'the other one still stands');
  ask('c');
  session.stopped(hit('break', 0x1000n));
  assert.equal(sent.at(-1), 'T05thread:1;hwbreak:;');
  assert.equal(ask('z1,1000,1'), 'OK');
  assert.equal(fake.log.at(-1), '-1 4096 1');
  assert.equal(ask('Z2,20,8'), 'OK');
  assert.equal(fake.log.at(-1), '+2 32 8');
  assert.equal(ask('Z5,20,8'), '');
  assert.equal(ask('Z2,20'), 'E22');
});

test('monitor commands', () => {
  const { ask } = open();
  const monitor = (text: string): string =>
    Buffer.from(ask(`qRcmd,${Buffer.from(text).toString('hex')}`)!, 'hex').toString();
  assert.equal(monitor('mode'), 'vCPU 0: vCPU 0\nvCPU 1: vCPU 1\n');
  assert.equal(monitor('x'), 'i0\n');
  assert.equal(monitor('x 3'), 'i0\ni1\ni2\n');
  assert.match(monitor('what'), /monitor mode/);
});

test('a crash can be looked at, but not continued; ends end the session', () => {
  const { ask, session, sent } = open();
  ask('c');
  session.stopped(hit('crash'));
  assert.equal(sent.at(-1), 'T0bthread:1;');
  assert.equal(ask('m0,1'), '00');
  assert.equal(ask('c'), 'X0b');
  assert.ok(session.over);
  const other = open();
  other.ask('c');
  other.session.ended({ code: 3 });
  assert.equal(other.sent.at(-1), 'W03');
  const third = open();
  assert.equal(third.ask('D'), 'OK');
  assert.deepEqual(third.fake.log, ['detach']);
  const fourth = open();
  assert.equal(fourth.ask('k'), undefined);
  assert.deepEqual(fourth.fake.log, ['kill']);
});

test('random packets get an answer or none, never an error', () => {
  let x = 99;
  const next = (below: number): number => ((x = (Math.imul(x, 1103515245) + 12345) >>> 0) >>> 8) % below;
  const { session, sent } = open();
  const starts = '? g G p P m M X H T c s C S Z z D k q Q v ! R'.split(' ');
  const words = [
    'vCont',
    ';s:1',
    ';c',
    ':',
    ',',
    '=',
    'ffffffffffffffffff',
    '0',
    '10',
    'qXfer:features:read:target.xml:',
  ];
  for (let round = 0; round < 20_000; round++) {
    let text = starts[next(starts.length)]!;
    for (let n = next(6); n > 0; n--)
      text += next(3) ? words[next(words.length)] : String.fromCharCode(next(256), next(256));
    session.packet(Buffer.from(text, 'latin1'));
    if (next(4) === 0) session.stopped(hit('step'));
  }
  assert.ok(sent.length > 10_000);
});
