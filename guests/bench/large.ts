// Writes a program of many distinct functions, about 3 MiB of code: what translating costs when little is run often. It is
// assembly in a compiler's manner, because a compiler takes minutes over as much C.

const FUNCTIONS = 6000;
const STATEMENTS = 40;

/** The same numbers in every run (mulberry32). */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** A statement over x (rdi), y (rax), words at rsi, and scratch registers. `label` is a number of its own. */
function statement(random: (below: number) => number, label: string): string[] {
  const number = () => random(0x7fffffff);
  const scratch = () => ['rcx', 'rdx', 'r8', 'r9', 'r10', 'r11'][random(6)]!;
  const word = () => `[rsi + ${8 * random(64)}]`;
  const t = scratch();
  const forms = [
    () => [`imul ${t}, rdi, ${number()}`, `lea rdi, [${t} + rax]`],
    () => [`mov ${t}, rdi`, `shr ${t}, ${1 + random(60)}`, `xor rax, ${t}`],
    () => [`add ${word()}, rdi`],
    () => [`mov ${t}, ${word()}`, `xor ${t}, ${number()}`, `add rdi, ${t}`],
    () => [`test edi, ${1 << random(12)}`, `je 1f`, `add rax, ${number()}`, 'jmp 2f', '1:', `xor ${word()}, rax`, '2:'],
    () => [`rol rdi, ${1 + random(60)}`],
    () => ['mov ecx, edi', `mov edx, ${number()}`, 'imul rcx, rdx', `shr rcx, ${33 + random(8)}`, 'sub rax, rcx'],
    () => [`cmp eax, ${number()}`, `jbe ${label}f`, `sub rdi, ${word()}`, `${label}:`],
    () => ['movzx ecx, di', 'movsx edx, al', `imul edx, edx, ${1 + random(99)}`, 'lea eax, [rcx + rdx]'],
    () => [`mov ${t}, rax`, 'push rdi', `and ${t}, ${number()}`, 'pop rax', `add rax, ${t}`],
    () => ['cmp rax, rdi', `mov ${t}, ${number()}`, `cmovb rdi, ${t}`, 'sbb rax, 0'],
  ];
  return forms[random(forms.length)]!();
}

export function largeProgram(): string {
  const random = randomNumbers(1);
  const lines = ['.intel_syntax noprefix', '.section .note.GNU-stack, "", @progbits', '.text'];
  for (let n = 0; n < FUNCTIONS; n++) {
    lines.push('.p2align 4', `f${n}:`, 'push rbx', 'push rbp', 'mov rax, rdi', 'mov rbx, rsi', 'xor ecx, ecx');
    lines.push('mov rdx, rdi', 'mov r8, rdi', 'mov r9d, 1', 'mov r10, [rsi]', 'lea r11, [rdi + 8]');
    for (let i = 0; i < STATEMENTS; i++) lines.push(...statement(random, '3'));
    if (n > 0 && n % 4 === 0) {
      lines.push('test al, 1', 'je 4f', 'mov rbp, rax', `call f${random(n / 2)}`, 'mov rsi, rbx', 'xor rax, rbp', '4:');
    }
    lines.push('xor rax, rdi', 'pop rbp', 'pop rbx', 'ret');
  }
  lines.push('.section .rodata', '.p2align 3', '.globl large_functions, large_count', 'large_functions:');
  for (let n = 0; n < FUNCTIONS; n++) lines.push(`.quad f${n}`);
  lines.push('large_count:', `.long ${FUNCTIONS}`);
  return `${lines.join('\n')}\n`;
}
