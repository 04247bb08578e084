import assert from 'node:assert/strict';
import { test } from 'node:test';
import { disassemble, type CodeSize } from './disassemble.ts';

const cases: [string, CodeSize, string][] = [
  ['4889e5', 64, 'mov rbp, rsp'],
  ['488b4c2410', 64, 'mov rcx, [rsp+0x10]'],
  ['f30f1efa', 64, 'nop edx'],
  ['0f01d9', 64, 'vmmcall'],
  ['f0480fb10f', 64, 'lock cmpxchg [rdi], rcx'],
  ['f3a4', 64, 'rep movs [rdi], [rsi]'],
  ['7402', 64, 'jz 0x1004'],
  ['65488b042500000000', 64, 'mov rax, gs:[0x0]'],
  ['48b88877665544332211', 64, 'mov rax, 0x1122334455667788'],
  ['b8efbeadde', 32, 'mov eax, -0x21524111'],
  ['660f6fc1', 64, 'movdqa xmm0, xmm1'],
  ['8b4702', 16, 'mov ax, [bx+0x2]'],
  ['4883c0ff', 64, 'add rax, -0x1'],
];

for (const [bytes, code, text] of cases)
  test(`${bytes} is ${text}`, () => {
    const raw = Buffer.from(bytes, 'hex');
    assert.deepEqual(disassemble(raw, code, 0x1000n), { text, length: raw.length });
  });

test('what is no instruction, or ends too early, has no text', () => {
  assert.equal(disassemble(Buffer.from('0fff'.repeat(1) + '', 'hex').subarray(0, 1), 64), null);
  assert.equal(disassemble(Buffer.from('06', 'hex'), 64), null);
  assert.equal(disassemble(Buffer.from('488b4c24', 'hex'), 64), null);
});
