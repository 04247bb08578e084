/* FOLDER NAME: writes numbered records to a file and makes files beside it, each with fsync, and says which ones are safe. First it says what it finds of earlier runs. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SIZE = 128, FILES_EVERY = 8 };

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void format(char *record, long n) {
  memset(record, 'a' + n % 26, SIZE);
  int length = sprintf(record, "record %ld ", n);
  record[length] = '.';
  record[SIZE - 1] = '\n';
}

/* How many whole records there are, one after the other. */
static long found(int fd) {
  char record[SIZE], wanted[SIZE];
  long n = 0;
  while (pread(fd, record, SIZE, n * SIZE) == SIZE) {
    format(wanted, n);
    if (memcmp(record, wanted, SIZE) != 0) break;
    n++;
  }
  return n;
}

/* The same of files: each holds its own name. */
static long found_files(int folder) {
  long n = 0;
  for (;; n++) {
    char name[32], content[32] = "";
    sprintf(name, "file-%ld", n);
    int fd = openat(folder, name, O_RDONLY);
    if (fd < 0) return n;
    if (read(fd, content, sizeof content - 1) < 0 || strcmp(content, name) != 0) {
      close(fd);
      return n;
    }
    close(fd);
  }
}

static void make_file(int folder, long n) {
  char name[32];
  sprintf(name, "file-%ld", n);
  int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0 || write(fd, name, strlen(name)) < 0 || fsync(fd) != 0) fail(name);
  close(fd);
  if (fsync(folder) != 0) fail("fsync of the folder");
}

int main(int count, char **arguments) {
  if (count != 3 || chdir(arguments[1]) != 0) fail("chdir");
  const char *name = arguments[2];
  int folder = open(".", O_RDONLY);
  int fd = open("records", O_RDWR | O_CREAT, 0644);
  if (folder < 0 || fd < 0) fail("open");
  long n = found(fd), files = found_files(folder);
  printf("records %s: found %ld %ld\n", name, n, files);
  fflush(stdout);
  for (char record[SIZE];; n++) {
    format(record, n);
    if (pwrite(fd, record, SIZE, n * SIZE) != SIZE || fsync(fd) != 0) fail("records");
    printf("records %s: safe %ld\n", name, n + 1);
    fflush(stdout);
    if (n % FILES_EVERY == 0) {
      make_file(folder, files++);
      printf("records %s: files %ld\n", name, files);
    }
    fflush(stdout);
  }
}
