/* Privileged instructions of the kernel: those that have their effect, and those that do not. */
#include "pv32.h"

static u32 cr3(void) {
  u32 v;
  asm volatile("movl %%cr3, %0" : "=r"(v));
  return v;
}

static void registers(void) {
  u32 v;
  asm volatile("movl %%cr0, %0" : "=r"(v));
  check("cr0", v & 0x80010001, 0x80010001);
  asm volatile("movl %%cr4, %0" : "=r"(v));
  check("cr4 shows PAE", v & 0x20, 0x20);
  asm volatile("movl %0, %%cr4" : : "r"(v | 0x10000));
  asm volatile("movl %%cr4, %0" : "=r"(v));
  check("no FSGSBASE", v & 0x10000, 0);
  const u32 root = mfn_of((void *)info->pt_base);
  check("cr3 is the root, turned round", cr3(), root << 12 | root >> 20);
  NO_FAULT("cr3, written back", "movl %%cr3, %%eax\n\tmovl %%eax, %%cr3");
  ARGS(0, 0, 0, mfn_of(pages[0]) << 12);
  FAULT("a cr3 that is none", GP, 0, "movl %%eax, %%cr3");
  NO_FAULT("clts", "clts");
  check("fpu_taskswitch", HC(fpu_taskswitch, 1, 0, 0, 0), 0);
  FAULT("the FPU is not there", NM, 0, "fninit");
  NO_FAULT("whoever is told of #NM finds it his", "fninit");
  NO_FAULT("wbinvd", "wbinvd");
  FAULT("invlpg", GP, 0, "invlpg 0");
  FAULT("lgdt", GP, 0, "lgdt pages");
}

static void msrs(void) {
  ARGS(0, 0xc0000080, 0, 0);
  NO_FAULT("rdmsr EFER", "rdmsr");
  ARGS(0, 0xc0000100, 0, 0);
  FAULT("FS base is 64-bit code's", GP, 0, "rdmsr");
  FAULT("to be written, too", GP, 0, "wrmsr");
  ARGS(0, 0x12345678, 0, 0);
  FAULT("an MSR that is not there", GP, 0, "rdmsr");
  u32 a, b, c, d;
  asm volatile(".byte 0x0f, 0x0b, 0x78, 0x65, 0x6e\n\tcpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "0"(0x40000000), "2"(0));
  check("cpuid by its forced prefix", b, 0x566e6558);
  asm volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "0"(0x80000001), "2"(0));
  check("no 64-bit mode, no SYSCALL", d & 0x20000800, 0);
}

static void ports(void) {
  FAULT("cli", GP, 0, "cli");
  FAULT("in", GP, 0, "inb $0x80, %%al");
  u32 iopl = 1;
  check("set_iopl", HC(physdev_op, 6, &iopl, 0, 0), 0);
  NO_FAULT("cli and sti do nothing", "cli\n\tsti");
  check("not to the mask", VCPU.evtchn_upcall_mask, 0);
  NO_FAULT("in, allowed", "inb $0x80, %%al");
  iopl = 0;
  HC(physdev_op, 6, &iopl, 0, 0);
  struct { void *bitmap; u32 ports; } bitmap = { pages[1], 4096 };
  check("set_iobitmap", HC(physdev_op, 7, &bitmap, 0, 0), 0);
  NO_FAULT("a port of the map", "inb $0x80, %%al");
  pages[1][0x10] = 1;
  FAULT("not in the map", GP, 0, "inb $0x80, %%al");
  pages[1][0x10] = 0;
  bitmap.ports = 0;
  HC(physdev_op, 7, &bitmap, 0, 0);
}

void test_emulation(void) {
  say("emulation\n");
  registers();
  msrs();
  ports();
}
