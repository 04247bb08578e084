/* A guest that means harm: whatever a 32-bit guest can ask for, with values at the edges. It ends somehow; the hypervisor goes on. */
#include "pv32.h"

extern const u32 traps[20];
extern char on_event[], on_failsafe[], on_sysenter[], trap_int80[];

static u32 state;

static u32 rnd(void) {
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return state;
}
static u32 below(u32 n) {
  return rnd() % n;
}
#define PICK(list) (list)[below(sizeof(list) / sizeof *(list))]

static u32 number(void) {
  const u32 bit = 1u << below(32);
  switch (below(4)) {
    case 0: return bit;
    case 1: return bit - 1;
    case 2: return -bit;
    default: return rnd();
  }
}

static u32 address(void) {
  const u32 list[] = {
    0, 1, HV_START - 4, HV_START, 0xffe00000, 0xfffffffc, 0x7fff0000, (u32)trap_stack_top, (u32)stack_top, (u32)user_start, (u32)user_stack_top, (u32)&shared,
    (u32)l3(), (u32)l1_of((u32)pages), (u32)pages[below(8)], (u32)trap_int80, traps[below(20)], info->mfn_list, (u32)hypercall_page,
  };
  return below(8) ? PICK(list) + (below(4) ? 0 : below(16)) : number();
}

static u32 frame(void) {
  const u32 list[] = { 0, 1, mfn_of(pages[below(8)]), mfn_of(pages[below(8)]), mfn_of(l3()), l3()[0] >> 12, l3()[3] >> 12, mfn_of(l1_of(0x100000)), info->shared_info >> 12, 0xfffff };
  return below(8) ? PICK(list) : number();
}

static u32 selector(void) {
  const u32 list[] = { 0, 3, 0x09, 0x0d, 0x0f, 0x11, 0x1b, 0x23, 0xe008, 0xe010, CS1, SS1, CS3, SS3, 0xe03b, 0xe043, 0xfff8, 0xffff };
  return below(6) ? PICK(list) : below(0x10000);
}

static u64 pte(void) {
  return entry(frame(), below(6) ? KERNEL_PTE & ~below(4) : rnd() & 4095) | (below(6) ? 0 : 1ull << (32 + below(32)));
}

static u64 descriptor(void) {
  const u64 d = 0x00cf00000000ffffull | (u64)below(256) << 40 | (u64)below(16) << 52;
  return below(4) ? d | 1ull << 47 : (u64)rnd() << 32 | rnd();
}

/* What the tests need again: so that not all ends at once. */
static void restore(void) {
  static struct { uint8_t vector, flags; uint16_t cs; u32 address; } t[22];
  static struct { uint16_t type, flags; u32 cs, eip; } c;
  const u32 callbacks[] = { 0, (u32)on_event, 1, (u32)on_failsafe, 5, (u32)on_sysenter };
  for (int i = 0; i < 20; i++) {
    t[i].vector = i;
    t[i].cs = CS1;
    t[i].address = traps[i];
  }
  t[20].vector = 0x80;
  t[20].flags = 3;
  t[20].cs = CS1;
  t[20].address = (u32)trap_int80;
  HC(set_trap_table, t, 0, 0, 0);
  for (int i = 0; i < 3; i++) {
    c.type = callbacks[2 * i];
    c.cs = CS1;
    c.eip = callbacks[2 * i + 1];
    HC(callback_op, 0, &c, 0, 0);
  }
  HC(stack_switch, SS1, trap_stack_top, 0, 0);
  asm volatile("movl %0, %%ds\n\tmovl %0, %%es" : : "r"(SS3));
  VCPU.evtchn_upcall_mask = 0;
}

static u64 *some_entry(void) {
  u64 *const list[] = { l3(), &table(l3()[0])[0], &table(l3()[3])[416], l1_of((u32)pages), l1_of(0x100000) };
  return PICK(list) + below(20);
}

static void ask(void) {
  static u32 w[16];
  for (int i = 0; i < 16; i++) w[i] = below(2) ? frame() : address();
  const u64 e = pte(), ma = below(4) ? machine(some_entry()) : entry(frame(), below(4096)), d = descriptor();
  switch (below(14)) {
    case 0: update(ma | below(4), e); break;
    case 1: HC(update_va_mapping, address(), e, e >> 32, below(8)); break;
    case 2: mmuext(below(20), below(2) ? frame() : address(), below(2) ? frame() : number()); break;
    case 3: HC(set_gdt, w, below(3) ? below(1024) : number(), 0, 0); break;
    case 4: {
      const u64 at = entry(frame(), 8 * below(512));
      HC(update_descriptor, at, at >> 32, d, d >> 32);
      break;
    }
    case 5: {
      struct { uint8_t vector, flags; uint16_t cs; u32 address; } t[2] = { { below(below(2) ? 20 : 256), below(8), selector(), address() }, { 0, 0, 0, 0 } };
      HC(set_trap_table, t, 0, 0, 0);
      break;
    }
    case 6: {
      struct { uint16_t type, flags; u32 cs, eip; } c = { below(9), below(2), selector(), address() };
      HC(callback_op, 0, &c, 0, 0);
      break;
    }
    case 7: HC(stack_switch, selector(), address(), 0, 0); break;
    case 8: HC(vm_assist, below(2), below(8), 0, 0); break;
    case 9: HC(set_debugreg, below(9), below(2) ? address() : number(), 0, 0); break;
    case 10: HC(memory_op, below(30), below(2) ? (u32)w : address(), 0, 0); break;
    case 11: HC(grant_table_op, below(13), w, below(3), 0); break;
    case 12: HC(physdev_op, 6 + below(2), w, 0, 0); break;
    default: hypercall(below(48), address(), below(2) ? below(8) : number(), address(), number(), address());
  }
}

static void instruction(void) {
  ARGS(selector(), address(), number(), below(2) ? address() : number());
  switch (below(16)) {
    case 0: RUN("movl %%ebx, %%fs"); break;
    case 1: RUN("movl %%ebx, %%ds\n\tmovl (%%ecx), %%eax"); break;
    case 2: RUN("pushl %%ebx\n\tpushl %%ecx\n\tlretl"); break;
    case 3: RUN("movl %%eax, %%cr3"); break;
    case 4: RUN("movl %%eax, %%cr0"); break;
    case 5: RUN("movl %%eax, %%cr4"); break;
    case 6: RUN("movl %%eax, (%%ecx)"); break;
    case 7: RUN("movl (%%ecx), %%eax"); break;
    case 8: RUN("pushl %%ebx\n\tpushl %%ecx\n\tpushl %%edx\n\tpushl %%ebx\n\tpushl %%ecx\n\tjmp HYPERCALL_iret"); break;
    case 9: RUN("pushl %%ebx\n\tpushl %%ecx\n\tpushl $0x202\n\tpushl $0xe02b\n\tpushl %%ecx\n\tiretl"); break;
    case 10: RUN("lock cmpxchg8b (%%ecx)"); break;
    case 11: RUN("movl %%edx, %%ecx\n\trdmsr"); break;
    case 12: RUN("sysenter"); break;
    case 13: user((void *)address(), below(2) ? CS3 : selector(), below(2) ? 0x202 : number()); break;
    case 14: RUN("pushl %%edx\n\tpopfl"); break;
    default: RUN("int $0x80"); break;
  }
}

void hostile(u32 seed) {
  state = seed * 0x9e3779b9u + 1;
  for (int i = 0; i < 400; i++) {
    restore();
    const u32 n = below(4);
    for (u32 k = 0; k <= n; k++) ask();
    instruction();
  }
}
