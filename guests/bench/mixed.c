// What small controllers do: lists, a matrix, a state machine over text, and a CRC over the results.
#include <stdlib.h>
#include <string.h>
#include "bench.h"

static u16 crc16(u16 crc, u32 value) {
  for (int i = 0; i < 32; i++) {
    const int bit = (crc ^ value) & 1;
    crc >>= 1;
    value >>= 1;
    if (bit) crc ^= 0xa001;
  }
  return crc;
}

struct node {
  struct node *next;
  short key, data;
};
#define NODES 400
static struct node nodes[NODES];

static struct node *merge(struct node *a, struct node *b, int by_key) {
  struct node head = {NULL, 0, 0}, *last = &head;
  while (a && b) {
    const int first = by_key ? a->key <= b->key : a->data <= b->data;
    struct node **from = first ? &a : &b;
    last = last->next = *from;
    *from = (*from)->next;
  }
  last->next = a ? a : b;
  return head.next;
}

static struct node *sort(struct node *list, int by_key) {
  if (!list || !list->next) return list;
  struct node *slow = list, *fast = list->next;
  while (fast && fast->next) {
    slow = slow->next;
    fast = fast->next->next;
  }
  struct node *half = slow->next;
  slow->next = NULL;
  return merge(sort(list, by_key), sort(half, by_key), by_key);
}

static u16 lists(u16 crc) {
  u64 random = crc + 1;
  for (int i = 0; i < NODES; i++) {
    const u64 r = next_random(&random);
    nodes[i] = (struct node){i + 1 < NODES ? &nodes[i + 1] : NULL, (short)r, (short)(r >> 16)};
  }
  struct node *list = nodes;
  for (int pass = 0; pass < 4; pass++) {
    list = sort(list, pass & 1);
    struct node *back = NULL; // reverse
    while (list) {
      struct node *next = list->next;
      list->next = back;
      back = list;
      list = next;
    }
    list = back;
    int at = 0;
    for (const struct node *n = list; n; n = n->next, at++)
      if ((n->data & 0x7f) == pass) crc = crc16(crc, (u32)at);
  }
  return crc16(crc, (u16)list->data);
}

#define SIDE 24
static short a[SIDE][SIDE], b[SIDE][SIDE];
static int c[SIDE][SIDE];

static u16 matrix(u16 crc) {
  for (int i = 0; i < SIDE; i++)
    for (int j = 0; j < SIDE; j++) {
      a[i][j] = (short)(i * 31 + j * crc);
      b[i][j] = (short)((i ^ j) + crc);
    }
  for (int i = 0; i < SIDE; i++)
    for (int j = 0; j < SIDE; j++) {
      int sum = 0;
      for (int k = 0; k < SIDE; k++) sum += a[i][k] * b[k][j];
      c[i][j] = sum + ((sum >> 5) & 0x7f) * ((sum >> 2) & 0xf);
    }
  for (int i = 0; i < SIDE; i++) crc = crc16(crc, (u32)c[i][(i * 7) % SIDE]);
  return crc;
}

enum state { START, SIGN, WHOLE, POINT, FRACTION, EXPONENT, EXPONENT_SIGN, POWER, WORD, STATES };

static enum state step(enum state s, char ch) {
  const int digit = ch >= '0' && ch <= '9';
  switch (s) {
    case START:
      if (digit) return WHOLE;
      return ch == '+' || ch == '-' ? SIGN : ch == '.' ? POINT : WORD;
    case SIGN:
      return digit ? WHOLE : ch == '.' ? POINT : WORD;
    case WHOLE:
      return digit ? WHOLE : ch == '.' ? POINT : ch == 'e' ? EXPONENT : WORD;
    case POINT:
    case FRACTION:
      return digit ? FRACTION : ch == 'e' ? EXPONENT : WORD;
    case EXPONENT:
      return digit ? POWER : ch == '+' || ch == '-' ? EXPONENT_SIGN : WORD;
    case EXPONENT_SIGN:
    case POWER:
      return digit ? POWER : WORD;
    default:
      return WORD;
  }
}

static u16 states(u16 crc) {
  static const char text[] = "5012,-874,+122,35.54400,.1234500,-110.700,+0.64400,5.500e+3,-.123e-2,-87e+832,+0.6e-12,T0.3e-1F,"
                             "-T.T++Tq,1T3.4e4z,34.0e-T^,12,x,9e9,--1,1.1.1,";
  u32 seen[STATES] = {0}, ended[STATES] = {0};
  for (int pass = 0; pass < 4; pass++) {
    enum state s = START;
    for (const char *p = text; *p; p++) {
      const char ch = (p - text) % 29 == pass * 3 + (crc & 1) ? 'e' : *p;
      if (ch == ',') {
        ended[s]++;
        s = START;
      } else seen[s = step(s, ch)]++;
    }
  }
  for (int i = 0; i < STATES; i++) crc = crc16(crc16(crc, seen[i]), ended[i]);
  return crc;
}

static u64 mixed_round(void) {
  u16 crc = 0;
  u64 sum = 0;
  for (int i = 0; i < 20; i++) {
    crc = states(matrix(lists(crc)));
    sum = mix(sum, crc);
  }
  return sum;
}
PROGRAM(mixed, "mixed", mixed_round, 0x9d99adb2c108e68d, 120, NULL, NULL);
