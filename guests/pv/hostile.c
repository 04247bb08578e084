/* A guest that means harm, to the processor half: whatever it asks for, with values at the edges. It ends somehow; the hypervisor goes on. */
#include "pv.h"

extern const u64 traps[20];
extern char on_syscall[], on_event[], on_failsafe[], on_sysenter[], trap_int80[], trap_stack_top[];

static u64 state;

static u64 rnd(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}
static u64 below(u64 n) {
  return rnd() % n;
}

static u64 number(void) {
  u64 bit = 1ul << below(64);
  switch (below(4)) {
    case 0: return bit;
    case 1: return bit - 1;
    case 2: return -bit;
    default: return rnd();
  }
}

static u64 address(void) {
  const u64 list[] = {
    0, 1, 0x7fffffffffff, 0x7ffffffffff8, 0x800000000000, 0xffff7fffffffffff, 0xffff800000000000, 0xffff87ffffffffff, 0xffff880000000000,
    ~0ul, ~7ul, (u64)trap_stack_top, (u64)on_syscall, (u64)start->l1, (u64)start->l2, (u64)start->scratch, start->free_va, (u64)start->shared,
    (u64)trap_int80, 0x8000000000, traps[below(20)],
  };
  return below(8) ? list[below(sizeof list / sizeof *list)] + (below(4) ? 0 : below(16)) : number();
}

static u64 mfn(void) {
  const u64 list[] = { 0, 1, start->free_mfn, start->l1_mfn, start->scratch_mfn, start->user_root >> 0, 0xfffff, 0x100000, ~0ul };
  return below(6) ? list[below(sizeof list / sizeof *list)] : number();
}

static u64 selector(void) {
  const u64 list[] = { 0, 3, 0x10, 0x13, 0x17, 0x1b, 0x1f, 0x23, 0x2b, 0x33, 0xe008, 0xe010, 0xe019, 0xe023, 0xe02b, 0xe030, 0xe033, 0xe03b, 0xe043, 0xfff8, 0xffff };
  return below(6) ? list[below(sizeof list / sizeof *list)] : below(0x10000);
}

static u64 descriptor(void) {
  u64 d = 0x00cf00000000ffff | below(256) << 40 | below(16) << 52;
  return below(4) ? d | 0x800000000000 : number();
}

/* What the tests need again: so that not all ends at once. */
static void restore(void) {
  static struct { uint8_t vector, flags; uint16_t cs; uint64_t address; } table[22];
  static struct { uint16_t type, flags; uint64_t address; } c;
  const u64 callbacks[] = { 0, (u64)on_event, 1, (u64)on_failsafe, 2, (u64)on_syscall, 5, (u64)on_sysenter };
  for (int i = 0; i < 20; i++) {
    table[i].vector = i;
    table[i].address = traps[i];
  }
  table[20].vector = 0x80;
  table[20].flags = 3;
  table[20].address = (u64)trap_int80;
  HC(HC_set_trap_table, table, 0, 0);
  for (int i = 0; i < 8; i += 2) {
    c.type = callbacks[i];
    c.address = callbacks[i + 1];
    HC(30, 0, &c, 0);
  }
  HC(3, 0xe02b, trap_stack_top, 0);
  HC(8, 7, 0, 0);
  HC(5, 0, 0, 0);
  VCPU.evtchn_upcall_mask = 0;
}

static u64 words[32];
static uint8_t context[5168];

static void prepare(void) {
  for (int i = 0; i < 32; i++) words[i] = below(3) ? address() : number();
}

/* One hypercall about the processor; 23, an iret, only in a multicall. */
static void call(u64 *nr, u64 *a) {
  prepare();
  a[0] = (u64)words;
  a[1] = below(4);
  a[2] = number();
  switch (*nr = below(17)) {
    case 0: *nr = HC_set_trap_table; words[0] = below(256) | below(8) << 8 | selector() << 16; words[2] = words[3] = 0; break;
    case 1: *nr = 30; a[0] = below(3); a[1] = (u64)words; words[0] = below(9) | below(3) << 16; words[1] = address(); break;
    case 2: *nr = 2; words[0] = mfn(); words[1] = mfn(); a[1] = below(2) ? below(1100) : below(2) ? 7168 + below(3) : number(); break;
    case 3: *nr = 10; a[0] = mfn() << 12 | (below(8) ? below(512) * 8 : number() & 0xfff); a[1] = descriptor(); break;
    case 4: *nr = 25; a[0] = below(5); a[1] = a[0] == 3 ? selector() : address(); break;
    case 5: *nr = 3; a[0] = selector(); a[1] = address(); break;
    case 6: *nr = 8; a[0] = below(10); a[1] = a[0] < 4 ? address() : number(); break;
    case 7: *nr = 9; a[0] = below(10); break;
    case 8: *nr = 5; a[0] = below(2); break;
    case 9: *nr = 28; a[0] = below(3); a[1] = (u64)words; break;
    case 10: *nr = 33; a[0] = below(40); a[1] = (u64)words; words[0] = below(2) ? below(5) : address(); words[1] = number(); break;
    case 11: *nr = HC_vm_assist; a[0] = below(3); a[1] = below(8) ? below(7) : 32; break;
    case 12: *nr = 26; words[0] = 13; words[1] = address() & ~(below(4) ? 4095ul : 0); words[2] = below(9000); a[1] = 1; a[2] = 0; a[3] = DOMID_SELF; break;
    case 13: {
      *nr = HC_vcpu_op;
      a[0] = below(4);
      a[1] = below(3);
      a[2] = (u64)context;
      for (int i = 0; i < 64; i++) *(u64 *)(context + below(640) * 8 + 8) = below(2) ? address() : number();
      *(u64 *)(context + 512) = 4;
      if (below(2)) asm volatile("movq %%cr3, %0" : "=r"(*(u64 *)(context + 5008)));
      for (int i = 720; i < 4816 && below(2); i += 8) *(u64 *)(context + i) = 0;
      break;
    }
    case 14: *nr = 19; words[0] = below(9); break;
    case 15: *nr = 16; words[0] = below(12); break;
    default: *nr = 4; a[0] = address(); a[1] = address(); a[2] = address();
  }
}

static void one_call(void) {
  u64 nr, a[4] = { 0, 0, 0, DOMID_SELF };
  call(&nr, a);
  hypercall(nr, a[0], a[1], a[2], a[3]);
}

static void multicall(void) {
  static struct { u64 op, result, args[6]; } list[4];
  u64 n = below(5);
  for (u64 i = 0; i < n && i < 4; i++) {
    call(&list[i].op, list[i].args);
    if (!below(6)) list[i].op = 23;
  }
  ARGS(list, n, 0, 13);
  RUN("pushq $0xe02b\n\tpushq $user_stack_top\n\tpushq $0x202\n\tpushq $0xe033\n\tpushq $u_hostile\n\tpushq $0\n\tpushq $7\n\tpushq $6\n\tpushq $5\n\t"
      "movq %%rbx, %%rdi\n\tmovq %%rcx, %%rsi\n\tsyscall\n\tmovq resume_rsp, %%rsp");
}

static u64 frame[9];
static uint8_t spare[4096] __attribute__((aligned(16)));

static void iret(void) {
  for (int i = 0; i < 9; i++) frame[i] = number();
  frame[3] = below(2) ? 0 : below(2) ? 0x100 : number();
  frame[4] = address();
  frame[5] = selector();
  frame[6] = (number() & 0x3f7fd7) | (below(100) ? 0x200 : 0); // else a loop may be for ever
  frame[7] = address();
  frame[8] = selector();
  // The kernel on a stack that is none ends soon, if not much is learnt.
  if ((frame[5] & 3) != 3 && below(400)) frame[7] = (u64)spare + sizeof spare;
  ARGS(frame, 0, 0, 0);
  RUN("movq %%rbx, %%rsp\n\tmovl $23, %%eax\n\tsyscall");
}

/* Bytes that are no instructions of anybody's, in user mode or in the kernel. */
static void noise(void) {
  static uint8_t *code = 0;
  extern char u_noise[];
  static const uint8_t first[] = { 0x0f, 0xcd, 0x66, 0x48, 0xf3, 0x8e, 0xcf, 0xff, 0x65, 0xf0, 0xc7 };
  static const uint8_t second[] = { 0x00, 0x01, 0x05, 0x06, 0x09, 0x0b, 0x20, 0x21, 0x22, 0x23, 0x30, 0x31, 0x32, 0x33, 0x34, 0xa2, 0xae, 0xb2, 0xc7, 0x0f };
  code = (uint8_t *)u_noise;
  for (int i = 0; i < 12; i++) code[i] = rnd();
  if (below(3)) code[0] = first[below(sizeof first)];
  if (below(2)) code[1] = second[below(sizeof second)];
  code[12] = 0xcd;
  code[13] = 0x80;
  if (below(60)) user(code, below(4) ? 0xe033 : 0xe023, 0x202 | (below(8) ? 0 : 0x100));
  else {
    ARGS(number(), number(), number(), number());
    RUN("movq $u_noise, %%rsi\n\tjmpq *%%rsi");
  }
}
asm(".section .user, \"awx\"\nu_noise: .skip 16, 0x90\nu_hostile: int $0x80\n.previous");

static void segment(void) {
  ARGS(selector(), 0, 0, 0);
  switch (below(5)) {
    case 0: RUN("movl %%ebx, %%ds"); break;
    case 1: RUN("movl %%ebx, %%es"); break;
    case 2: RUN("movl %%ebx, %%fs"); break;
    case 3: RUN("movl %%ebx, %%gs"); break;
    default: RUN("movl %%ebx, %%ss\n\tnop");
  }
  asm volatile("movl $0xe02b, %%eax\n\tmovl %%eax, %%ss" : : : "rax");
}

static void table_store(void) {
  u64 value = below(3) ? mfn() << 12 | below(4096) : number();
  ARGS((u64)start->l1 + (below(4) ? ((u64)start->scratch >> 12 & 511) * 8 : 0x800 + below(0x800)), value, 0, number());
  switch (below(4)) {
    case 0: RUN("movq %%rcx, (%%rbx)"); break;
    case 1: RUN("xchgq %%rcx, (%%rbx)"); break;
    case 2: RUN("lock cmpxchgq %%rcx, (%%rbx)"); break;
    default: RUN("movl %%ecx, (%%rbx)");
  }
}

void hostile(u64 seed) {
  state = seed * 0x9e3779b97f4a7c15 | 1;
  /* What goes round for ever is interrupted. */
  evtchn_bind_virq_t virq = { VIRQ_TIMER, 0, 0 };
  u64 period = 1000000;
  HC(HC_event_channel_op, EVTCHNOP_bind_virq, &virq, 0);
  HC(HC_vcpu_op, VCPUOP_set_periodic_timer, 0, &period);
  start->shared->evtchn_mask[0] &= ~(1ul << virq.port);
  for (int i = 0; i < 3000; i++) {
    restore();
    switch (below(8)) {
      case 0: iret(); break;
      case 1: multicall(); break;
      case 2: segment(); break;
      case 3: noise(); break;
      case 4: table_store(); break;
      default:
        for (u64 n = 1 + below(3); n; n--) one_call();
        if (below(2)) RUN("ud2");
    }
  }
  say("enough\n");
}
