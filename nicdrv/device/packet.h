/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * packet.h -- a received frame, and the numbers of its headers
 *
 * A frame is what a port received, from the destination MAC on, without FCS. It is hostile: no byte
 * of it is used before its place is known to be inside.
 */
#ifndef NICDRV_DEVICE_PACKET_H
#define NICDRV_DEVICE_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "sums are taken as little-endian words");

#define NIC_FRAME_MAX 65817 /* 65535 of IP behind the longest header a frame may have in front */
#define NIC_HEADER_MAX 254  /* from the MAC to the end of the (inner) TCP or UDP header */
#define NIC_VLAN_MAX 2	    /* tags of a frame */
#define NIC_EXTENSION_MAX 8 /* IPv6 extension headers that are looked through */
#define NIC_IP_MAX 65535    /* bytes of a datagram, IP header included */

enum nic_packet_flags {
	NIC_PACKET_CSUM_VALID = 1,   /* the port has verified TCP's or UDP's checksum */
	NIC_PACKET_CSUM_PARTIAL = 2, /* it holds the pseudo header's sum only: a local sender */
};

/*
 * Ownership: borrowed by nic_agg_input() until that returns; a sink that wants the bytes for longer
 * arranges it with whoever owns them, by the cookie.
 */
struct nic_packet {
	const uint8_t *data;
	uint32_t len;	   /* 1 to NIC_FRAME_MAX */
	uint16_t flags;	   /* enum nic_packet_flags */
	uint16_t gso_size; /* not 0: already aggregated by whoever sent it; with CSUM_PARTIAL */
	uint8_t gso_type;  /* then VIRTIO_NET_HDR_GSO_* */
	uint16_t csum_start, csum_offset; /* with CSUM_PARTIAL; the start at most NIC_HEADER_MAX */
	void *cookie;			  /* the caller's */
};

#define ETH_LEN 14
#define ETH_TYPE 12
#define VLAN_LEN 4
#define IP4_LEN 20
#define IP6_LEN 40
#define TCP_LEN 20
#define UDP_LEN 8
#define VXLAN_LEN 8
#define VXLAN_PORT 4789

#define IP4_TOTAL 2
#define IP4_ID 4
#define IP4_FRAGMENT 6
#define IP4_PROTO 9
#define IP4_CSUM 10
#define IP4_SRC 12
#define IP6_PAYLOAD 4
#define IP6_NEXT 6
#define IP6_SRC 8
#define TCP_SEQ 4
#define TCP_OFFSET 12
#define TCP_FLAGS 13
#define TCP_CSUM 16
#define UDP_LENGTH 4
#define UDP_CSUM 6

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_PSH 0x08
#define TCP_ACK 0x10
#define TCP_URG 0x20
#define TCP_ECE 0x40
#define TCP_CWR 0x80

#define PROTO_TCP 6
#define PROTO_UDP 17

static inline uint16_t be16_get(const uint8_t *at)
{
	uint16_t value;

	memcpy(&value, at, 2);
	return __builtin_bswap16(value);
}

static inline uint32_t be32_get(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, 4);
	return __builtin_bswap32(value);
}

static inline void be16_put(uint8_t *at, uint32_t value)
{
	uint16_t word = __builtin_bswap16((uint16_t)value);

	memcpy(at, &word, 2);
}

static inline void be32_put(uint8_t *at, uint32_t value)
{
	value = __builtin_bswap32(value);
	memcpy(at, &value, 4);
}

/* As it stands in memory: what sums are made of. */
static inline uint16_t raw16_get(const uint8_t *at)
{
	uint16_t value;

	memcpy(&value, at, 2);
	return value;
}

static inline uint32_t raw32_get(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, 4);
	return value;
}

static inline void raw16_put(uint8_t *at, uint32_t value)
{
	uint16_t word = (uint16_t)value;

	memcpy(at, &word, 2);
}

#endif
