#!/bin/sh
# Builds lwip.wasm anew: build.sh FOLDER, where FOLDER is lwIP 2.1.3 unpacked, as `apt-get source --download-only lwip=2.1.3+dfsg1-2` gets it
# (SHA-256 of the orig tarball: 0a8276d09fc4e97bbba2f953d74af2388fc2195ea156be9d7589e297a68fde24). Needs clang-14 and lld-14.
set -e
cd "$(dirname "$0")"
source=$1/src/core
clang-14 --target=wasm32 -O3 -flto -nostdlib -ffreestanding -mbulk-memory -msign-ext -fvisibility=hidden -Wall -Wno-tautological-constant-out-of-range-compare \
  -isystem include -Iinclude "-I$1/src/include" glue.c libc.c \
  "$source"/def.c "$source"/inet_chksum.c "$source"/init.c "$source"/ip.c "$source"/mem.c "$source"/memp.c \
  "$source"/netif.c "$source"/pbuf.c "$source"/tcp.c "$source"/tcp_in.c "$source"/tcp_out.c \
  "$source"/ipv4/ip4.c "$source"/ipv4/ip4_addr.c \
  "$source"/ipv6/icmp6.c "$source"/ipv6/inet6.c "$source"/ipv6/ip6.c "$source"/ipv6/ip6_addr.c "$source"/ipv6/nd6.c \
  -fuse-ld=/usr/bin/wasm-ld-14 \
  -Wl,--no-entry,--strip-all,--gc-sections,--max-memory=67108864,-z,stack-size=65536 -o lwip.wasm
chmod 644 lwip.wasm
sha256sum glue.c libc.c include/*.h include/arch/*.h build.sh lwip.wasm >SHA256SUMS
