// Which of x87, WAIT, MMX and SSE instructions fault, and how, under every setting of CR0.EM, MP, TS and CR4.OSFXSR (SDM vol. 3, tables 13-1 and 2-2).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { instantiate, loadCore } from '../../platform/core.ts';
import { createDomain, Service } from '../hypervisor.ts';
import { AT } from './engine.ts';

const PAGES = 1400;
const [TABLES, CODE] = [0x1000, 0x10000];
const [MP, EM, TS, OSFXSR] = [2, 4, 8, 0x200];
const [NONE, UD, NM] = [0, 6, 7];
const EXIT_EXCEPTION = 1;

const INSTRUCTIONS: readonly [string, number[], (cr0: number, cr4: number) => number][] = [
  ['FNOP', [0xd9, 0xd0], (cr0) => (cr0 & (EM | TS) ? NM : NONE)],
  ['WAIT', [0x9b], (cr0) => ((cr0 & (MP | TS)) === (MP | TS) ? NM : NONE)],
  ['MOVQ MM0, MM0', [0x0f, 0x6f, 0xc0], (cr0) => (cr0 & EM ? UD : cr0 & TS ? NM : NONE)],
  ['MOVUPS XMM0, XMM0', [0x0f, 0x10, 0xc0], (cr0, cr4) => (cr0 & EM || !(cr4 & OSFXSR) ? UD : cr0 & TS ? NM : NONE)],
];

test('units that are off', () => {
  const image = loadCore();
  const memory = new WebAssembly.Memory({ initial: PAGES, maximum: 65536, shared: true });
  const core = instantiate(image.module, memory, () => 0);
  const x = core as unknown as Record<string, (...args: (number | bigint)[]) => number>;
  assert.equal(core.host_init(PAGES, image.tables.length, 1, 0, 0, 0), 0);
  const bytes = new Uint8Array(memory.buffer);
  const view = new DataView(memory.buffer);
  bytes.set(image.tables, core.host_tables() >>> 0);
  core.pcpu_init(0);
  assert.equal(core.service_create(0, 1, 0, 32), 0);
  const domid = createDomain(new Service({ memory, x }, 0), 40);
  const cpu = core.domain_cpu(domid, 0) >>> 0;
  const ram = (x.domain_frame!(domid, 1) >>> 0) - 0x1000;
  const put = (at: number, v: number | bigint): void => view.setBigUint64(at, BigInt(v), true);
  put(ram + TABLES, TABLES + 0x1003);
  put(ram + TABLES + 0x1000, 0x83);
  for (const [i, [, code]] of INSTRUCTIONS.entries()) bytes.set(code, ram + CODE + 16 * i);
  put(cpu + AT.cr3, TABLES);
  put(cpu + AT.efer, 0xd00);
  put(cpu + AT.plus4g, 1n << 32n);
  view.setUint32(cpu + AT.segments + 16 + 4, 0xffffffff, true);
  view.setUint16(cpu + AT.segments + 16 + 2, 0xa9b, true);
  for (let cr0 = 0; cr0 < 16; cr0 += 2) {
    for (const cr4 of [0, OSFXSR]) {
      put(cpu + AT.cr0, 0x80000021 + cr0);
      put(cpu + AT.cr4, 0x20 + cr4);
      x.cpu_refresh!(cpu);
      for (const [i, [name, , wanted]] of INSTRUCTIONS.entries()) {
        put(cpu + AT.rip, CODE + 16 * i);
        put(cpu + AT.rflags, 2);
        const vector = x.cpu_single_step!(cpu) === EXIT_EXCEPTION ? view.getUint32(cpu + AT.excVector, true) : NONE;
        assert.equal(vector, wanted(cr0, cr4), `${name}, CR0 ${cr0.toString(16)}, CR4 ${cr4.toString(16)}`);
      }
    }
  }
});
