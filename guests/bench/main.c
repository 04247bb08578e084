// The bench program. As an ordinary process: `bench NAME[=ROUNDS]…`, without a name all. As the guest's first process it takes
// the names from the kernel parameter xenolith.bench=NAME[=ROUNDS],… and powers the machine off at the end.
// A line each: `bench: NAME ROUNDS SECONDS CHECKSUM`, or `bench: NAME failed: …`.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "bench.h"

extern const struct program __start_programs[], __stop_programs[];

const char *bench_folder;
static int failures;

void die(const char *what) {
  fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
  exit(2);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

/// Runs in a process of its own, so that programs do not see each other's memory.
static int measure(const struct program *p, u32 rounds) {
  if (p->setup) p->setup();
  printf("bench: begin %s\n", p->name);
  u64 sum = 0;
  const double start = now();
  for (u32 i = 0; i < rounds; i++) {
    sum = p->round();
    if (sum == p->expect) continue;
    printf("bench: %s failed: %#lx instead of %#lx in round %u\n", p->name, sum, p->expect, i);
    return 1;
  }
  const double took = now() - start;
  printf("bench: %s %u %.6f %016lx\n", p->name, rounds, p->measure ? p->measure() : took, sum);
  return 0;
}

static void run(const struct program *p, u32 rounds) {
  const pid_t child = fork();
  if (child < 0) die("fork");
  if (child == 0) exit(measure(p, rounds ? rounds : p->rounds));
  int status;
  if (waitpid(child, &status, 0) != child) die("waitpid");
  if (status == 0) return;
  failures++;
  if (WIFSIGNALED(status)) printf("bench: %s failed: signal %d\n", p->name, WTERMSIG(status));
  else if (WEXITSTATUS(status) != 1) printf("bench: %s failed: status %d\n", p->name, WEXITSTATUS(status));
}

/// `NAME` or `NAME=ROUNDS`.
static void run_named(char *what) {
  char *rounds = strchr(what, '=');
  if (rounds) *rounds++ = 0;
  for (const struct program *p = __start_programs; p < __stop_programs; p++) {
    if (strcmp(p->name, what) == 0) return run(p, rounds ? strtoul(rounds, NULL, 10) : 0);
  }
  printf("bench: %s failed: there is no such program\n", what);
  failures++;
}

static void machine(void) {
  static char line[4096];
  printf("bench: init\n");
  mkdir("/proc", 0755);
  if (mount("proc", "/proc", "proc", 0, NULL) != 0 && errno != EBUSY) die("mount /proc");
  FILE *file = fopen("/proc/cmdline", "r");
  if (!file || !fgets(line, sizeof line, file)) die("/proc/cmdline");
  fclose(file);
  const char key[] = "xenolith.bench=";
  char *names = strstr(line, key);
  if (names) {
    names = strtok(names + strlen(key), " \n");
    for (char *name = strtok(names, ","); name; name = strtok(NULL, ",")) run_named(name);
  }
  printf("bench: end\n");
  usleep(500000); // whoever watches looks at the machine now
  reboot(RB_POWER_OFF);
  die("reboot");
}

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  char *slash = strrchr(argv[0], '/');
  if (slash) *slash = 0;
  bench_folder = slash ? argv[0] : ".";
  if (getpid() == 1) machine();
  if (argc == 2 && strcmp(argv[1], "--list") == 0) {
    for (const struct program *p = __start_programs; p < __stop_programs; p++) puts(p->name);
    return 0;
  }
  for (int i = 1; i < argc; i++) run_named(argv[i]);
  for (const struct program *p = __start_programs; argc == 1 && p < __stop_programs; p++) run(p, 0);
  return failures != 0;
}
