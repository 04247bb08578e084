/* Measures a disk from inside a guest: reads and writes past the page cache, sixteen at once, as Linux's own asynchronous I/O does them.
 * Started as the machine's first program's child; prints `bench: NAME MIB/S IOPS` and powers off. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { DEPTH = 16, LARGE = 128 << 10, SMALL = 4 << 10 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint32_t seed = 1;
static uint32_t next(void) {
  seed ^= seed << 13;
  seed ^= seed >> 17;
  seed ^= seed << 5;
  return seed;
}

struct kind {
  const char *name;
  int write, random, size;
};

static void run(int fd, uint64_t disk, const struct kind *k, double seconds) {
  static struct iocb requests[DEPTH];
  static struct io_event events[DEPTH];
  aio_context_t context = 0;
  uint8_t *buffers;
  uint64_t blocks = disk / (uint64_t)k->size, at = 0, done = 0;
  double start, end;
  int i, busy = 0;
  if (syscall(SYS_io_setup, DEPTH, &context) || posix_memalign((void **)&buffers, 4096, (size_t)k->size * DEPTH)) exit(2);
  memset(buffers, 0x5a, (size_t)k->size * DEPTH);
  printf("bench: begin %s\n", k->name);
  fflush(stdout);
  start = now();
  end = start + seconds;
  for (i = 0; i < DEPTH; i++) requests[i].aio_data = (uint64_t)i;
  for (int first = 1;; first = 0) {
    struct iocb *list[DEPTH];
    int n = 0;
    long got = 0;
    if (!first) {
      got = syscall(SYS_io_getevents, context, 1, DEPTH, events, NULL);
      if (got < 1) exit(3);
      busy -= (int)got;
      done += (uint64_t)got;
    }
    for (i = 0; i < (first ? DEPTH : (int)got); i++) {
      struct iocb *r = &requests[first ? (uint64_t)i : events[i].data];
      if (!first && events[i].res != k->size) {
        printf("bench: %s fails: %lld\n", k->name, (long long)events[i].res);
        exit(4);
      }
      if (now() >= end) continue;
      r->aio_fildes = (uint32_t)fd;
      r->aio_lio_opcode = k->write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
      r->aio_buf = (uint64_t)(uintptr_t)(buffers + r->aio_data * (uint64_t)k->size);
      r->aio_nbytes = (uint64_t)k->size;
      r->aio_offset = (long long)((k->random ? next() % blocks : at++ % blocks) * (uint64_t)k->size);
      list[n++] = r;
    }
    if (n && syscall(SYS_io_submit, context, n, list) != n) exit(5);
    busy += n;
    if (busy == 0) break;
  }
  end = now();
  syscall(SYS_io_destroy, context);
  free(buffers);
  printf("bench: %s %.1f %.0f\n", k->name, (double)done * k->size / (end - start) / 1048576, (double)done / (end - start));
  fflush(stdout);
}

/* As dd and cat do it: through the page cache, a MiB at a time. What is written counts once it is on the disk. */
static void stream(const char *path, uint64_t disk, int write_, double seconds) {
  enum { BLOCK = 1 << 20 };
  static uint8_t buffer[BLOCK];
  int fd = open(path, O_RDWR);
  uint64_t done = 0;
  if (fd < 0) exit(6);
  memset(buffer, 0xa5, sizeof buffer);
  printf("bench: begin %s\n", write_ ? "stream-write" : "stream-read");
  fflush(stdout);
  double start = now(), end = start + seconds;
  do {
    off_t at = (off_t)(done % (disk / BLOCK * BLOCK));
    ssize_t n = write_ ? pwrite(fd, buffer, BLOCK, at) : pread(fd, buffer, BLOCK, at);
    if (n != BLOCK) exit(7);
    done += BLOCK;
  } while (now() < end);
  if (fsync(fd)) exit(8);
  end = now();
  close(fd);
  printf("bench: %s %.1f %.0f\n", write_ ? "stream-write" : "stream-read", (double)done / (end - start) / BLOCK, (double)done / BLOCK / (end - start));
  fflush(stdout);
}

int main(int argc, char **argv) {
  static const struct kind kinds[] = {
      {"sequential-read", 0, 0, LARGE},
      {"sequential-write", 1, 0, LARGE},
      {"random-read", 0, 1, SMALL},
      {"random-write", 1, 1, SMALL},
  };
  uint64_t size = 0;
  int fd = -1;
  for (int tries = 0; fd < 0 && tries < 100; tries++, usleep(100000)) fd = open(argv[1], O_RDWR | O_DIRECT);
  if (argc < 3 || fd < 0 || ioctl(fd, BLKGETSIZE64, &size)) {
    printf("bench: no disk %s\n", argc > 1 ? argv[1] : "");
    fflush(stdout);
    reboot(RB_POWER_OFF);
    return 1;
  }
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) run(fd, size, &kinds[i], atof(argv[2]));
  for (int write_ = 0; write_ < 2; write_++) stream(argv[1], size, write_, atof(argv[2]));
  printf("bench: end\n");
  fflush(stdout);
  sync();
  reboot(RB_POWER_OFF);
  return 0;
}
