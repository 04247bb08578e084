// lwIP's TCP as the end of other people's connections: IP packets in and out, and connections by number for the
// TypeScript above (stack.ts). It answers for every address: a packet's destination becomes the interface's own for as
// long as the packet is looked at, and one listener takes every port that it is let see a SYN for.
#include "lwip/init.h"
#include "lwip/ip.h"
#include "lwip/netif.h"
#include "lwip/pbuf.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/tcp.h"
#include <string.h>

#define IMPORT(name) __attribute__((import_module("host"), import_name(#name))) extern
#define EXPORT(name) __attribute__((export_name(#name)))

IMPORT(random) u32_t host_random(void);
// A packet leaves: `segment` is 0, or the size of the segments it stands for.
IMPORT(output) void host_output(const void *packet, u32_t length, u32_t segment);
IMPORT(opened) void host_opened(u32_t id);
// Bytes have come; none is the end of what comes.
IMPORT(received) void host_received(u32_t id, const void *bytes, u32_t length, u32_t more);
IMPORT(sent) void host_sent(u32_t id, u32_t length);
// The connection is over: an error of lwIP's, or 0 after an orderly end.
IMPORT(gone) void host_gone(u32_t id, s32_t error);
IMPORT(timer) void host_timer(void);

#define CONNECTIONS 4096
#define LARGE 33000 // of a packet with its headers: two of them fit a window that has not grown yet
#define LARGEST 65500 // once the window has
#define STAGE 131072

struct connection {
  struct tcp_pcb *pcb;
  u16_t segment; // what the peer takes in one packet
  u8_t enlarged; // its packets may carry many segments
  u8_t acknowledge;
  u8_t ended; // the peer has sent its FIN
  u8_t finished; // we have
};

static struct connection connections[CONNECTIONS];
static u16_t acknowledging[CONNECTIONS];
static u32_t acknowledgements;
static u8_t stage[STAGE];
static u8_t packet_out[LARGEST + 128];
static struct netif interface;
static struct tcp_pcb *listener;
static struct pbuf *incoming;
static u32_t large; // one packet may carry many segments: of IPv4 (1), of IPv6 (2)

u32_t sys_now(void) { return 0; } // only ICMPv6 asks, which nothing reaches
unsigned int xenolith_isn(void) { return host_random(); }
void tcp_timer_needed(void) { host_timer(); }

// ---- packets out

static err_t put(struct pbuf *p) {
  u32_t segment = 0;
  u32_t header = ((u8_t *)p->payload)[0] >> 4 == 4 ? 20 : 40;
  if (p->tot_len > sizeof packet_out) return ERR_BUF;
  const u8_t *bytes = p->payload;
  if (p->next) {
    pbuf_copy_partial(p, packet_out, p->tot_len, 0);
    bytes = packet_out;
  }
  u32_t data = p->tot_len - header - (bytes[header + 12] >> 4) * 4;
  struct tcp_hdr *tcp = (struct tcp_hdr *)(bytes + header);
  for (struct tcp_pcb *pcb = tcp_active_pcbs; data > interface.mtu - header - 20 && pcb; pcb = pcb->next) {
    if (pcb->local_port != lwip_ntohs(tcp->src) || pcb->remote_port != lwip_ntohs(tcp->dest)) continue;
    u32_t id = (u32_t)(uintptr_t)pcb->callback_arg;
    if (id < CONNECTIONS && connections[id].pcb == pcb) segment = connections[id].segment;
    if (segment) break;
  }
  host_output(bytes, p->tot_len, data > segment ? segment : 0);
  return ERR_OK;
}

static err_t put4(struct netif *netif, struct pbuf *p, const ip4_addr_t *to) {
  LWIP_UNUSED_ARG(netif);
  LWIP_UNUSED_ARG(to);
  return put(p);
}

static err_t put6(struct netif *netif, struct pbuf *p, const ip6_addr_t *to) {
  LWIP_UNUSED_ARG(netif);
  LWIP_UNUSED_ARG(to);
  return put(p);
}

// ---- lwIP's events

static u32_t id_of(void *arg) { return (u32_t)(uintptr_t)arg; }

static void forget(u32_t id) {
  struct tcp_pcb *pcb = connections[id].pcb;
  connections[id].pcb = NULL;
  if (!pcb) return;
  tcp_arg(pcb, (void *)(uintptr_t)CONNECTIONS);
  tcp_recv(pcb, NULL);
  tcp_sent(pcb, NULL);
  tcp_err(pcb, NULL);
}

static void on_error(void *arg, err_t error) {
  u32_t id = id_of(arg);
  if (id >= CONNECTIONS) return;
  connections[id].pcb = NULL; // lwIP has freed it
  host_gone(id, error == ERR_CLSD ? 0 : error);
}

static void acknowledge(u32_t id) {
  if (connections[id].acknowledge) return;
  connections[id].acknowledge = 1;
  acknowledging[acknowledgements++] = (u16_t)id;
}

static err_t on_received(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t error) {
  u32_t id = id_of(arg);
  LWIP_UNUSED_ARG(error);
  if (id >= CONNECTIONS) {
    if (p) {
      tcp_recved(pcb, p->tot_len);
      pbuf_free(p);
    }
    return ERR_OK;
  }
  if (!p) {
    connections[id].ended = 1;
    host_received(id, NULL, 0, 0);
    // After both ends no event follows: lwIP only waits.
    if (connections[id].pcb && connections[id].finished) {
      forget(id);
      host_gone(id, 0);
    }
    return ERR_OK;
  }
  acknowledge(id);
  for (struct pbuf *q = p; q; q = q->next) host_received(id, q->payload, q->len, q->next != NULL);
  pbuf_free(p);
  return connections[id].pcb == pcb ? ERR_OK : ERR_ABRT;
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t length) {
  LWIP_UNUSED_ARG(pcb);
  if (id_of(arg) < CONNECTIONS) host_sent(id_of(arg), length);
  return id_of(arg) >= CONNECTIONS || connections[id_of(arg)].pcb == pcb ? ERR_OK : ERR_ABRT;
}

static void size_packets(u32_t id, struct tcp_pcb *pcb) {
  u32_t header = IP_IS_V6(&pcb->remote_ip) ? 60 : 40, segment = connections[id].segment;
  u32_t most = pcb->snd_wnd_max >= 4 * LARGEST ? LARGEST : LARGE;
  if (connections[id].enlarged) pcb->mss = (u16_t)((most - header) / segment * segment);
}

// From now on a write may become one packet for many segments, where the peer's port takes such.
static void enlarge(u32_t id, struct tcp_pcb *pcb) {
  connections[id].segment = pcb->mss;
  connections[id].enlarged = pcb->mss >= 536 && (large & (IP_IS_V6(&pcb->remote_ip) ? 2 : 1));
  if (!connections[id].enlarged) return;
  size_packets(id, pcb);
  // The way to the guest is memory: nothing is to be found out by and by.
  pcb->cwnd = TCP_SND_BUF;
  pcb->ssthresh = TCP_SND_BUF;
}

static err_t on_opened(void *arg, struct tcp_pcb *pcb, err_t error) {
  u32_t id = id_of(arg);
  if (error != ERR_OK || !pcb || id >= CONNECTIONS || connections[id].pcb != pcb) return ERR_ABRT;
  tcp_recv(pcb, on_received);
  tcp_sent(pcb, on_sent);
  tcp_nagle_disable(pcb);
  pcb->sv = pcb->rto = 600 / TCP_SLOW_INTERVAL; // the other end is in this machine; lwIP begins with 3 s
  enlarge(id, pcb);
  host_opened(id);
  return connections[id].pcb == pcb ? ERR_OK : ERR_ABRT;
}

static err_t on_accepted(void *arg, struct tcp_pcb *pcb, err_t error) {
  LWIP_UNUSED_ARG(arg);
  return pcb ? on_opened(pcb->callback_arg, pcb, error) : ERR_VAL;
}

// ---- what the host calls

static err_t init_interface(struct netif *netif) {
  netif->mtu = 1500;
  netif->output = put4;
  netif->output_ip6 = put6;
  netif->flags = NETIF_FLAG_LINK_UP;
  return ERR_OK;
}

EXPORT(start) u32_t start(u32_t mtu, u32_t takes_large) {
  ip4_addr_t some, mask;
  IP4_ADDR(&some, 127, 255, 255, 254);
  IP4_ADDR(&mask, 255, 255, 255, 255); // no address is a broadcast one
  lwip_init();
  netif_add(&interface, &some, &mask, &some, NULL, init_interface, ip_input);
  interface.mtu = (u16_t)mtu;
  netif_set_default(&interface);
  netif_set_up(&interface);
  large = takes_large;
  struct tcp_pcb *pcb = tcp_new_ip_type(IPADDR_TYPE_ANY);
  if (!pcb || tcp_bind(pcb, IP_ANY_TYPE, 1) != ERR_OK) return 1;
  listener = tcp_listen(pcb);
  if (!listener) return 1;
  tcp_accept(listener, on_accepted);
  return 0;
}

// Where bytes for write() go, and addresses for connect().
EXPORT(stage) void *stage_at(void) { return stage; }
EXPORT(set_large) void set_large(u32_t takes_large) { large = takes_large; }

// Room for a packet that comes, or 0.
EXPORT(room) void *room(u32_t length) {
  if (incoming) pbuf_free(incoming);
  incoming = pbuf_alloc(PBUF_RAW, (u16_t)length, PBUF_RAM);
  return incoming ? incoming->payload : NULL;
}

static void take_address(const u8_t *packet) {
  if (packet[0] >> 4 == 4) {
    memcpy(&interface.ip_addr.u_addr.ip4, packet + 16, 4);
  } else {
    ip_addr_t *own = &interface.ip6_addr[0];
    memcpy(own->u_addr.ip6.addr, packet + 24, 16);
    own->type = IPADDR_TYPE_V6;
    interface.ip6_addr_state[0] = IP6_ADDR_PREFERRED;
  }
}

// The packet in room() comes in: TCP, whole, its lengths and checksum checked. A SYN opens connection `id`, others have
// no use for it. `at` is where its TCP header begins.
EXPORT(input) void input(u32_t at, u32_t id) {
  struct pbuf *p = incoming;
  if (!p) return;
  incoming = NULL;
  u8_t *packet = p->payload;
  struct tcp_hdr *tcp = (struct tcp_hdr *)(packet + at);
  int opening = id < CONNECTIONS && !connections[id].pcb;
  take_address(packet);
  ((struct tcp_pcb_listen *)listener)->local_port = lwip_ntohs(tcp->dest);
  listener->callback_arg = (void *)(uintptr_t)(opening ? id : CONNECTIONS);
  u16_t from = lwip_ntohs(tcp->src), to = lwip_ntohs(tcp->dest);
  ip_input(p, &interface);
  if (!opening) return;
  struct tcp_pcb *pcb = tcp_active_pcbs;
  while (pcb && !(id_of(pcb->callback_arg) == id && pcb->remote_port == from && pcb->local_port == to)) pcb = pcb->next;
  if (!pcb) {
    host_gone(id, ERR_MEM);
    return;
  }
  memset(&connections[id], 0, sizeof connections[id]);
  connections[id].pcb = pcb;
  tcp_err(pcb, on_error);
}

// Acknowledges what has come since the last time: once for a batch of packets.
EXPORT(flush) void flush(void) {
  while (acknowledgements) {
    u32_t id = acknowledging[--acknowledgements];
    struct tcp_pcb *pcb = connections[id].pcb;
    connections[id].acknowledge = 0;
    if (pcb && (pcb->flags & TF_ACK_DELAY)) {
      tcp_ack_now(pcb);
      tcp_output(pcb);
    }
  }
}

// Opens connection `id` from one address to another (16 bytes each in the stage, the first of them for IPv4).
EXPORT(connect) s32_t connect(u32_t id, u32_t version, u32_t from_port, u32_t to_port) {
  ip_addr_t from, to;
  if (id >= CONNECTIONS || connections[id].pcb) return ERR_USE;
  memset(&from, 0, sizeof from);
  memset(&to, 0, sizeof to);
  from.type = to.type = version == 4 ? IPADDR_TYPE_V4 : IPADDR_TYPE_V6;
  memcpy(&from.u_addr, stage, version == 4 ? 4 : 16);
  memcpy(&to.u_addr, stage + 16, version == 4 ? 4 : 16);
  struct tcp_pcb *pcb = tcp_new_ip_type(from.type);
  if (!pcb) return ERR_MEM;
  u8_t header[40] = {version == 4 ? 0x45 : 0x60};
  memcpy(header + (version == 4 ? 16 : 24), &from.u_addr, version == 4 ? 4 : 16);
  take_address(header);
  pcb->local_ip = from;
  pcb->local_port = (u16_t)from_port;
  memset(&connections[id], 0, sizeof connections[id]);
  connections[id].pcb = pcb;
  tcp_arg(pcb, (void *)(uintptr_t)id);
  tcp_err(pcb, on_error);
  s32_t error = tcp_connect(pcb, &to, (u16_t)to_port, on_opened);
  if (error != ERR_OK) {
    forget(id);
    tcp_abort(pcb);
  }
  return error;
}

// How many bytes connection `id` takes now.
EXPORT(writable) u32_t writable(u32_t id) {
  struct tcp_pcb *pcb = id < CONNECTIONS ? connections[id].pcb : NULL;
  if (!pcb || pcb->snd_queuelen + 8 >= TCP_SND_QUEUELEN) return 0;
  return pcb->snd_buf;
}

// Sends bytes of the stage, if they go as a whole: no more than writable() said.
EXPORT(write) s32_t write(u32_t id, u32_t length) {
  struct tcp_pcb *pcb = id < CONNECTIONS ? connections[id].pcb : NULL;
  if (!pcb || length > STAGE) return ERR_CONN;
  size_packets(id, pcb);
  for (u32_t at = 0; at < length;) {
    u32_t part = length - at > pcb->mss ? pcb->mss : length - at; // a u16 of lwIP's
    s32_t error = tcp_write(pcb, stage + at, (u16_t)part, TCP_WRITE_FLAG_COPY | (at + part < length ? TCP_WRITE_FLAG_MORE : 0));
    if (error != ERR_OK) return at ? (s32_t)at : error;
    at += part;
  }
  return (s32_t)length;
}

EXPORT(push) void push(u32_t id) {
  if (id < CONNECTIONS && connections[id].pcb) tcp_output(connections[id].pcb);
}

// Bytes of received() have gone on: the peer may send as many more.
EXPORT(consumed) void consumed(u32_t id, u32_t length) {
  while (id < CONNECTIONS && connections[id].pcb && length) {
    u32_t part = length > 0xffff ? 0xffff : length;
    tcp_recved(connections[id].pcb, (u16_t)part);
    length -= part;
  }
}

// No more bytes go out.
EXPORT(finish) void finish(u32_t id) {
  struct tcp_pcb *pcb = id < CONNECTIONS ? connections[id].pcb : NULL;
  if (!pcb || connections[id].finished) return;
  connections[id].finished = 1;
  tcp_shutdown(pcb, 0, 1);
}

EXPORT(abort) void abort_connection(u32_t id) {
  struct tcp_pcb *pcb = id < CONNECTIONS ? connections[id].pcb : NULL;
  if (!pcb) return;
  forget(id);
  tcp_abort(pcb);
}

static int waits(struct tcp_pcb *pcb) {
  return (pcb->state != ESTABLISHED && pcb->state != CLOSE_WAIT) || pcb->unacked || pcb->unsent || pcb->ooseq ||
         pcb->refused_data || pcb->persist_backoff || (pcb->flags & (TF_ACK_DELAY | TF_CLOSEPEND));
}

// TCP's clock, every 100 ms while it answers 1: while some connection waits for something. `missed` slow ticks (200 ms)
// have passed since it stood still.
EXPORT(tick) u32_t tick(u32_t missed) {
  tcp_ticks += missed;
  tcp_tmr();
  if (tcp_tw_pcbs) return 1;
  for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb; pcb = pcb->next)
    if (waits(pcb)) return 1;
  return 0;
}
