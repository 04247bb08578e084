/* What the unikernel's parts share. */
#ifndef GUEST_H
#define GUEST_H

#include "xen.h"

/* start.S */
extern char hypercall_page[PAGE_SIZE];
long hypercall(unsigned nr, uint64_t a1, uint64_t a2, uint64_t a3);
extern uint32_t hypercall_form; /* 0 page, 1 VMCALL, 2 VMMCALL */

/* main.c */
bool option(const char *word);
bool option_value(const char *name, const char *value);
/* The number behind `name=`, else 0. */
uint64_t option_number(const char *name);
/* Counts and prints a check: `ok NAME`, or `FAIL NAME: got A, expected B`. */
void expect(const char *name, int64_t got, int64_t wanted);
void check(const char *name, bool good, const char *fact, int64_t value);
void power(unsigned reason) __attribute__((noreturn));

/* console.c */
void console_init(void);
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* cpu.c */
typedef struct {
  uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax, vector, error, rip, cs, rflags, rsp, ss;
} frame_t;
enum { VECTOR_UPCALL = 0xf3, VECTOR_CALLBACK = 0xf4, VECTOR_SELF = 0x51, VECTOR_SPURIOUS = 0xff };
extern volatile uint32_t interrupt_count[256];
void cpu_init(void);
void apic_write(unsigned reg, uint32_t value);
uint32_t apic_read(unsigned reg);

static inline void cpuid(uint32_t leaf, uint32_t out[4]) {
  __asm__ volatile("cpuid" : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3]) : "a"(leaf), "c"(0));
}
static inline uint64_t rdtsc(void) {
  uint32_t low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high)::"memory");
  return low | (uint64_t)high << 32;
}
static inline uint64_t rdmsr(uint32_t msr) {
  uint32_t low, high;
  __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
  return low | (uint64_t)high << 32;
}
static inline void wrmsr(uint32_t msr, uint64_t value) {
  __asm__ volatile("wrmsr" ::"c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}
static inline void barrier(void) { __asm__ volatile("" ::: "memory"); }
static inline void sti(void) { __asm__ volatile("sti" ::: "memory"); }
static inline void cli(void) { __asm__ volatile("cli" ::: "memory"); }
/* STI holds interrupts off for one instruction: a wake-up cannot get lost before HLT (SDM 2B, STI). */
static inline void sti_hlt(void) { __asm__ volatile("sti; hlt; cli" ::: "memory"); }

/* memory.c */
void *memset(void *to, int byte, size_t size);
void *memcpy(void *to, const void *from, size_t size);
int memcmp(const void *a, const void *b, size_t size);
size_t strlen(const char *text);
static inline uint64_t gfn(const volatile void *p) { return (uintptr_t)p / PAGE_SIZE; }
long memory_op(unsigned op, void *arg);
long add_to_physmap(unsigned space, uint64_t index, volatile void *page);
/* An address that no page backs, for handles that must fail. */
#define BAD_ADDRESS 0x8000000000ul

/* events.c */
long hvm_get_param(unsigned index, uint64_t *value);
long hvm_set_param(unsigned index, uint64_t value);
extern shared_info_t *const shared_info;
extern vcpu_info_t *volatile vcpu_info;
extern volatile uint32_t event_count[4096];
void events_init(void);
void events_upcall(void);
long event_op(unsigned op, void *arg);
long event_port_op(unsigned op, uint32_t port); /* close, send, unmask */
long event_bind_virq(unsigned virq, unsigned vcpu, uint32_t *port);
void event_unmask(uint32_t port);
void event_mask(uint32_t port);
bool event_pending(uint32_t port);
bool events_are_fifo(void);
/* The first ports delivered since the length was set to 0. */
extern volatile uint32_t event_order[16], event_order_length;

/* Lets pending upcalls in. */
static inline void window(void) { __asm__ volatile("sti; nop; nop; nop; cli" ::: "memory"); }

/* timer.c */
uint64_t now(void);
/* Halts until *counter differs from `from`, or `ns` have passed; true if it changed. Needs the timer port. */
bool wait_change(volatile uint32_t *counter, uint32_t from, uint64_t ns);
void timer_init(void);
extern uint32_t timer_port;

/* The suites. */
void test_version(void);
void test_memory(void);
void test_timer(void);
void test_events(void);
void test_grants(void);
void test_xenstore(void);
void test_idle(void);

/* crash.c */
void crash(void);

#endif
