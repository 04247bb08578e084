// What passes through the kernel: system calls, processes, page faults, pipes, timers.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "bench.h"

static u64 getppid_round(void) {
  const long parent = getppid();
  u64 right = 0;
  for (int i = 0; i < 100000; i++) right += syscall(SYS_getppid) == parent;
  return right;
}
PROGRAM(system_call, "getppid", getppid_round, 100000, 20, NULL, NULL);

/// Ends with `status` in the child; gives what the parent sees.
static int status_of(pid_t child) {
  int status;
  if (child < 0) die("fork");
  if (waitpid(child, &status, 0) != child) die("waitpid");
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static u64 fork_round(void) {
  u64 sum = 0;
  for (int i = 0; i < 100; i++) {
    const pid_t child = fork();
    if (child == 0) _exit(i);
    sum += (u64)status_of(child);
  }
  return sum;
}
PROGRAM(fork_wait, "fork", fork_round, 4950, 10, NULL, NULL);

static u64 exec_round(void) {
  char path[256];
  snprintf(path, sizeof path, "%s/tiny", bench_folder);
  char *const args[] = {path, NULL}, *const environment[] = {NULL};
  u64 sum = 0;
  for (int i = 0; i < 50; i++) {
    const pid_t child = fork();
    if (child == 0) {
      execve(path, args, environment);
      _exit(1);
    }
    sum += (u64)status_of(child);
  }
  return sum;
}
PROGRAM(fork_exec, "fork-exec", exec_round, 2100, 12, NULL, NULL);

#define PAGES 128
static u64 fault_round(void) {
  u64 sum = 0;
  for (int i = 0; i < 50; i++) {
    u8 *area = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED) die("mmap");
    for (int page = 0; page < PAGES; page++) {
      area[page * 4096] += (u8)page;
      sum += area[page * 4096];
    }
    if (munmap(area, PAGES * 4096) != 0) die("munmap");
  }
  return sum;
}
PROGRAM(page_fault, "page-fault", fault_round, 50 * PAGES * (PAGES - 1) / 2, 10, NULL, NULL);

static u64 pipe_round(void) {
  int there[2], back[2];
  if (pipe(there) != 0 || pipe(back) != 0) die("pipe");
  const pid_t child = fork();
  if (child == 0) {
    u8 byte;
    close(there[1]);
    while (read(there[0], &byte, 1) == 1) {
      byte++;
      if (write(back[1], &byte, 1) != 1) _exit(1);
    }
    _exit(7);
  }
  u64 sum = 0;
  for (int i = 0; i < 5000; i++) {
    u8 byte = (u8)i;
    if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1) die("pipe");
    sum = mix(sum, byte);
  }
  close(there[0]);
  close(there[1]);
  const int status = status_of(child);
  close(back[0]);
  close(back[1]);
  return sum + (u64)status;
}
PROGRAM(ping_pong, "pipe", pipe_round, 0x95eb9bf564cb2e57, 3, NULL, NULL);

#define TICKS 1000
#define TICK_NS 1000000
static u64 late[TICKS];

static u64 clock_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec;
}

static int by_size(const void *a, const void *b) {
  const u64 x = *(const u64 *)a, y = *(const u64 *)b;
  return (x > y) - (x < y);
}

/// How late the 99th of 100 wake-ups is.
static double percentile(void) {
  qsort(late, TICKS, sizeof late[0], by_size);
  return (double)late[TICKS * 99 / 100] / 1e9;
}

/// Linux has high-resolution timers only when it trusts its clock, some seconds after it started.
static void precise(void) {
  struct timespec resolution;
  for (int i = 0; i < 100; i++) {
    clock_getres(CLOCK_MONOTONIC, &resolution);
    if (resolution.tv_sec == 0 && resolution.tv_nsec == 1) break;
    usleep(100000);
  }
  prctl(PR_SET_TIMERSLACK, 1);
}

static u64 nanosleep_round(void) {
  for (int i = 0; i < TICKS; i++) {
    const u64 due = clock_ns() + TICK_NS;
    const struct timespec until = {(time_t)(due / 1000000000), (long)(due % 1000000000)};
    if (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0) die("clock_nanosleep");
    const u64 now = clock_ns();
    if (now < due) return 0; // too early
    late[i] = now - due;
  }
  return TICKS;
}
PROGRAM(sleeper, "nanosleep", nanosleep_round, TICKS, 1, precise, percentile);

static u64 timerfd_round(void) {
  const int fd = timerfd_create(CLOCK_MONOTONIC, 0);
  const u64 start = clock_ns() + 10 * TICK_NS;
  const struct itimerspec every = {{0, TICK_NS}, {(time_t)(start / 1000000000), (long)(start % 1000000000)}};
  if (fd < 0 || timerfd_settime(fd, TFD_TIMER_ABSTIME, &every, NULL) != 0) die("timerfd");
  u64 ticks = 0;
  for (int i = 0; i < TICKS; i++) {
    u64 expired;
    if (read(fd, &expired, sizeof expired) != sizeof expired) die("timerfd");
    const u64 now = clock_ns(), due = start + ticks * TICK_NS; // of the first of those that have expired
    if (now < due) return 0;
    late[i] = now - due;
    ticks += expired;
  }
  close(fd);
  return TICKS;
}
PROGRAM(timer_fd, "timerfd", timerfd_round, TICKS, 1, precise, percentile);

static u64 idle_round(void) {
  sleep(10);
  return 0;
}
PROGRAM(idle, "idle", idle_round, 0, 1, NULL, NULL);
