// Traffic over TCP, with sums that both ends can compare: `send`, `receive`, `serve` (to who connects) and `many` at once.
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK 65536
static uint32_t chunk[CHUNK / 4];

// Two running sums of 32-bit words, as Fletcher's; the last bytes count as a word with zeros.
struct sum {
  uint32_t a, b, word;
  unsigned have;
  uint64_t bytes;
};

static void add(struct sum *s, const uint8_t *p, size_t n) {
  s->bytes += n;
  while (n && s->have) {
    s->word |= (uint32_t)*p++ << (8 * s->have);
    n--;
    if (++s->have == 4) {
      s->a += s->word;
      s->b += s->a;
      s->have = s->word = 0;
    }
  }
  for (; n >= 4; n -= 4, p += 4) {
    uint32_t word;
    memcpy(&word, p, 4);
    s->a += word;
    s->b += s->a;
  }
  for (; n; n--) s->word |= (uint32_t)*p++ << (8 * s->have++);
}

static void say(const char *what, struct sum *s) {
  uint32_t a = s->a, b = s->b;
  if (s->have) b += a += s->word;
  printf("%s %llu %08x%08x\n", what, (unsigned long long)s->bytes, a, b);
}

static void fail(const char *what) {
  printf("traffic: %s: %s\n", what, strerror(errno));
  exit(1);
}

static int address(const char *text, int port, struct sockaddr_storage *out) {
  memset(out, 0, sizeof *out);
  struct sockaddr_in *v4 = (void *)out;
  struct sockaddr_in6 *v6 = (void *)out;
  if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    return sizeof *v4;
  }
  if (inet_pton(AF_INET6, text, &v6->sin6_addr) != 1) fail(text);
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(port);
  return sizeof *v6;
}

static int dial(const char *text, int port) {
  struct sockaddr_storage to;
  int size = address(text, port, &to), fd = socket(to.ss_family, SOCK_STREAM, 0);
  if (fd < 0 || connect(fd, (void *)&to, size) < 0) fail("connect");
  return fd;
}

static void fill(void) {
  uint32_t x = 2463534242u;
  for (size_t i = 0; i < CHUNK / 4; i++) {
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    chunk[i] = x;
  }
}

static void push(int fd, uint64_t bytes) {
  struct sum s = {0};
  while (s.bytes < bytes) {
    size_t n = bytes - s.bytes < CHUNK ? bytes - s.bytes : CHUNK;
    chunk[0] = (uint32_t)s.bytes; // no two chunks are equal
    for (size_t done = 0; done < n;) {
      ssize_t w = write(fd, (char *)chunk + done, n - done);
      if (w < 0) fail("write");
      done += w;
    }
    add(&s, (uint8_t *)chunk, n);
  }
  say("sent", &s);
}

static void pull(int fd) {
  struct sum s = {0};
  for (;;) {
    ssize_t n = read(fd, chunk, CHUNK);
    if (n < 0) fail("read");
    if (n == 0) break;
    add(&s, (uint8_t *)chunk, n);
  }
  say("received", &s);
}

static int await_one(int port) {
  struct sockaddr_storage own;
  int size = address("::", port, &own), one = 1, fd = socket(AF_INET6, SOCK_STREAM, 0);
  if (fd < 0) fail("socket");
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, (void *)&own, size) < 0 || listen(fd, 8) < 0) fail("listen");
  int client = accept(fd, 0, 0);
  if (client < 0) fail("accept");
  close(fd);
  return client;
}

// Connections all open at once to a server that sends back what it gets; each sends and compares so many bytes.
static void many(const char *text, int port, int count, unsigned bytes) {
  struct pollfd *p = calloc(count, sizeof *p);
  unsigned *sent = calloc(count, sizeof *sent), *got = calloc(count, sizeof *got);
  static char back[CHUNK];
  int left = count;
  for (int i = 0; i < count; i++) p[i] = (struct pollfd){.fd = dial(text, port), .events = POLLIN | POLLOUT};
  while (left && poll(p, count, 60000) > 0) {
    for (int i = 0; i < count; i++) {
      if (p[i].revents & POLLOUT) {
        unsigned at = sent[i] % CHUNK, n = bytes - sent[i] < CHUNK - at ? bytes - sent[i] : CHUNK - at;
        ssize_t w = send(p[i].fd, (char *)chunk + at, n, MSG_DONTWAIT);
        if (w > 0) sent[i] += w;
        if (sent[i] == bytes) {
          shutdown(p[i].fd, SHUT_WR);
          p[i].events = POLLIN;
        }
      }
      if (!(p[i].revents & (POLLIN | POLLHUP | POLLERR))) continue;
      unsigned at = got[i] % CHUNK;
      ssize_t n = recv(p[i].fd, back, CHUNK - at, MSG_DONTWAIT);
      if (n < 0 && errno == EAGAIN) continue;
      if (n < 0) fail("recv");
      if (memcmp(back, (char *)chunk + at, n)) fail("other bytes than were sent");
      got[i] += n;
      if (n > 0) continue;
      if (got[i] != bytes) fail("an end too early");
      close(p[i].fd);
      p[i].fd = -1;
      left--;
    }
  }
  printf("many %d of %d\n", count - left, count);
}

int main(int argc, char **argv) {
  fill();
  const char *verb = argc > 1 ? argv[1] : "";
  if (!strcmp(verb, "send") && argc == 5) push(dial(argv[2], atoi(argv[3])), strtoull(argv[4], 0, 10));
  else if (!strcmp(verb, "receive") && argc == 4) pull(dial(argv[2], atoi(argv[3])));
  else if (!strcmp(verb, "serve") && argc == 4) push(await_one(atoi(argv[2])), strtoull(argv[3], 0, 10));
  else if (!strcmp(verb, "listen") && argc == 3) pull(await_one(atoi(argv[2])));
  else if (!strcmp(verb, "many") && argc == 6) many(argv[2], atoi(argv[3]), atoi(argv[4]), strtoul(argv[5], 0, 10));
  else return printf("usage: traffic send|receive|serve|listen|many ...\n"), 64;
  return 0;
}
