/* IDT, exceptions, local APIC. */
#include "guest.h"

extern char interrupt_stubs[];
volatile uint32_t interrupt_count[256];

static struct {
  uint16_t offset0, selector;
  uint8_t ist, type;
  uint16_t offset1;
  uint32_t offset2, zero;
} __attribute__((packed)) idt[256];

static volatile uint32_t *const xapic = (volatile uint32_t *)0xfee00000;
static bool x2apic;
enum { APIC_ID = 0x20, APIC_VERSION = 0x30, APIC_EOI = 0xb0, APIC_SPURIOUS = 0xf0 };
enum { MSR_APIC_BASE = 0x1b, MSR_X2APIC = 0x800, APIC_BASE_X2 = 1 << 10 };

void apic_write(unsigned reg, uint32_t value) {
  if (x2apic) wrmsr(MSR_X2APIC + reg / 16, value);
  else xapic[reg / 4] = value;
}

uint32_t apic_read(unsigned reg) {
  return x2apic ? (uint32_t)rdmsr(MSR_X2APIC + reg / 16) : xapic[reg / 4];
}

void cpu_init(void) {
  for (unsigned i = 0; i < 256; i++) {
    uintptr_t stub = (uintptr_t)interrupt_stubs + i * 16;
    idt[i].offset0 = stub;
    idt[i].offset1 = stub >> 16;
    idt[i].offset2 = stub >> 32;
    idt[i].selector = 0x18;
    idt[i].type = 0x8e;
  }
  struct { uint16_t limit; uint64_t base; } __attribute__((packed)) idtr = {sizeof idt - 1, (uintptr_t)idt};
  __asm__ volatile("lidt %0" ::"m"(idtr));

  if (option_value("apic", "x2")) {
    wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2);
    x2apic = true;
  }
  apic_write(APIC_SPURIOUS, 0x100 | VECTOR_SPURIOUS);
}

static void exception(frame_t *f) {
  static bool dying;
  uint64_t cr2;
  if (dying) power(SHUTDOWN_crash);
  dying = true;
  __asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
  print("EXCEPTION %lu error %lx rip %lx rsp %lx cr2 %lx\n", f->vector, f->error, f->rip, f->rsp, cr2);
  power(SHUTDOWN_crash);
}

/* Called by the stubs with interrupts off. The callback vector is injected without an APIC and wants no EOI. */
void interrupt(frame_t *f) {
  if (f->vector < 32) exception(f);
  interrupt_count[f->vector]++;
  if (f->vector == VECTOR_UPCALL || f->vector == VECTOR_CALLBACK) events_upcall();
  if (f->vector == VECTOR_UPCALL || f->vector == VECTOR_SELF) apic_write(APIC_EOI, 0);
}
