/*
 * Load for a xenstore socket: PATH read|write|transaction CLIENTS SECONDS. Each client is a process of its own that waits
 * for each answer before it asks again, over nodes of its own. Prints operations a second of all together.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { READ = 2, START = 6, END = 7, WRITE = 11, ERROR = 16 };

struct message {
    uint32_t type, req_id, tx_id, length;
    char payload[4096];
};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int connected(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        fail(path);
    return fd;
}

/* Sends a request and leaves the answer in `m`; ends the program on an error. */
static void ask(int fd, struct message *m, uint32_t type, uint32_t tx, const char *payload, uint32_t length)
{
    m->type = type;
    m->req_id++;
    m->tx_id = tx;
    m->length = length;
    memcpy(m->payload, payload, length);
    if (write(fd, m, 16 + length) != (ssize_t)(16 + length))
        fail("write");
    size_t have = 0;
    while (have < 16 || have < 16 + m->length) {
        ssize_t got = read(fd, (char *)m + have, sizeof(*m) - have);
        if (got <= 0)
            fail("read");
        have += got;
    }
    if (m->type == ERROR) {
        fprintf(stderr, "request %u: %.*s\n", type, (int)m->length, m->payload);
        exit(1);
    }
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static double run(const char *path, const char *what, int number, double seconds)
{
    static struct message m;
    char name[64], assignment[64];
    int fd = connected(path);
    size_t name_length = snprintf(name, sizeof(name), "/bench/%d/value", number) + 1;
    size_t length = snprintf(assignment, sizeof(assignment), "%s%c0123456789abcdef", name, 0);
    ask(fd, &m, WRITE, 0, assignment, length);
    double start = now(), end = start;
    unsigned long count = 0;
    while (end - start < seconds) {
        for (int i = 0; i < 64; i++, count++) {
            uint32_t tx = 0;
            if (what[0] == 't') {
                ask(fd, &m, START, 0, "", 1);
                tx = strtoul(m.payload, NULL, 10);
            }
            if (what[0] != 'w')
                ask(fd, &m, READ, tx, name, name_length);
            if (what[0] != 'r')
                ask(fd, &m, WRITE, tx, assignment, length);
            if (tx)
                ask(fd, &m, END, tx, "T", 2);
        }
        end = now();
    }
    return count / (end - start);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: client PATH read|write|transaction CLIENTS SECONDS\n");
        return 64;
    }
    int clients = atoi(argv[3]), pipes[2], failed = 0;
    if (pipe(pipes) < 0)
        fail("pipe");
    for (int i = 0; i < clients; i++) {
        pid_t child = fork();
        if (child < 0)
            fail("fork");
        if (child == 0) {
            double rate = run(argv[1], argv[2], i, atof(argv[4]));
            return write(pipes[1], &rate, sizeof(rate)) != sizeof(rate);
        }
    }
    close(pipes[1]);
    double sum = 0, rate;
    while (read(pipes[0], &rate, sizeof(rate)) == sizeof(rate))
        sum += rate;
    for (int status; wait(&status) > 0;)
        failed |= status != 0;
    if (failed)
        return 1;
    printf("%.0f\n", sum);
    return 0;
}
