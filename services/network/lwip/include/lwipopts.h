// lwIP's options for services/network/lwip: TCP over IP packets, both versions, one interface, no operating system.
#ifndef LWIPOPTS_H
#define LWIPOPTS_H

#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_SINGLE_NETIF 1
#define LWIP_SOCKET 0
#define LWIP_NETCONN 0
#define LWIP_TIMERS 0 // glue.c, tick
#define LWIP_STATS 0

// Link layer, name resolution and UDP are done outside.
#define LWIP_ARP 0
#define LWIP_ETHERNET 0
#define LWIP_DHCP 0
#define LWIP_UDP 0
#define LWIP_RAW 0
#define LWIP_ICMP 0
#define LWIP_IPV4 1
#define LWIP_IPV6 1
#define LWIP_ICMP6 1 // the IPv6 input does not build without it; only TCP gets in
#define LWIP_IPV6_MLD 0
#define LWIP_IPV6_AUTOCONFIG 0
#define LWIP_ND6_ALLOW_RA_UPDATES 0
#define LWIP_IPV6_DUP_DETECT_ATTEMPTS 0
#define LWIP_ND6_QUEUEING 0
#define IP_FRAG 0 // large segments leave whole, as GSO frames
#define LWIP_IPV6_FRAG 0
#define IP_REASSEMBLY 0
#define LWIP_IPV6_REASS 0
#define IP_FORWARD 0
#define LWIP_CHECKSUM_ON_COPY 0

// Checksums are checked before a packet gets in, and made after it has left, or never, if the guest takes it so.
#define CHECKSUM_GEN_IP 0
#define CHECKSUM_GEN_TCP 0
#define CHECKSUM_GEN_ICMP6 0
#define CHECKSUM_CHECK_IP 0
#define CHECKSUM_CHECK_TCP 0
#define CHECKSUM_CHECK_ICMP6 0

// Memory: libc.c's allocator, bounded by the instance's memory.
#define MEM_LIBC_MALLOC 1
#define MEMP_MEM_MALLOC 1
#define MEM_ALIGNMENT 8
#define PBUF_LINK_HLEN 0
#define PBUF_LINK_ENCAPSULATION_HLEN 0

#define LWIP_TCP 1
#define TCP_MSS 1460
#define LWIP_WND_SCALE 1
#define TCP_RCV_SCALE 4
#define TCP_WND (512 * 1024)
#define TCP_WND_UPDATE_THRESHOLD (TCP_WND / 4)
#define TCP_SND_BUF (1024 * 1024)
#define TCP_SND_QUEUELEN 2048
#define TCP_SNDLOWAT (32 * 1024)
#define TCP_SNDQUEUELOWAT 5
#define TCP_QUEUE_OOSEQ 1
#define TCP_OOSEQ_MAX_BYTES (512 * 1024)
#define TCP_OOSEQ_MAX_PBUFS 512
#define LWIP_TCP_SACK_OUT 1
#define LWIP_TCP_MAX_SACK_NUM 4
#define TCP_LISTEN_BACKLOG 0
#define LWIP_TCP_KEEPALIVE 0
#define TCP_TMR_INTERVAL 100
#define TCP_MSL 5000UL // a connection of the same four numbers meets no packet of the old one: the link keeps order
#define LWIP_HOOK_TCP_ISN(local_ip, local_port, remote_ip, remote_port) xenolith_isn()

unsigned int xenolith_isn(void);

#endif
