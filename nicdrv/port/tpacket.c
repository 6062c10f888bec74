/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tpacket.c -- frames of a network interface, through a ring of blocks shared with the kernel
 *
 * "tpacket:IFNAME" needs CAP_NET_RAW; "tpacket-fd:NUMBER" is a packet socket that somebody else opened and
 * bound to an interface, with protocol 0 best, so that nothing comes before the ring is there.
 *
 * Received frames are used where the kernel put them. A block goes back when the call after the one
 * that gave its last frame comes. Sending has a socket of its own, if we may open one, with
 * offloads: the kernel completes checksums and cuts what the interface cannot.
 *
 * Ordering: the kernel owns a block until it stores TP_STATUS_USER, which pairs with our acquire; our
 * release of TP_STATUS_KERNEL gives it back.
 */
#include "base/alloc.h"
#include "base/error.h"
#include "nicdrv/port/port.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define BLOCK_SIZE (256u << 10) /* a frame that was merged before fits */
#define BLOCK_COUNT 64
#define BLOCK_TIMEOUT_MS 1
#define RESERVE 16 /* room for a VLAN tag in front */

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

struct tpacket {
	struct nic_port port;
	int send_fd;		    /* owned, unless it is the port's */
	uint8_t *ring;		    /* owned: a mapping */
	uint32_t block;		    /* the one we read, or wait for */
	uint32_t left;		    /* frames in it that were not given yet */
	bool open;		    /* it is ours */
	struct tpacket3_hdr *frame; /* the next one */
};

static struct tpacket_block_desc *block_at(const struct tpacket *tpacket, uint32_t block)
{
	return (void *)(tpacket->ring + (size_t)block * BLOCK_SIZE);
}

static int option_set(int fd, int name, int value)
{
	return setsockopt(fd, SOL_PACKET, name, &value, sizeof(value));
}

static int packet_bind(int fd, int index, uint16_t protocol)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET,
				       .sll_protocol = __builtin_bswap16(protocol),
				       .sll_ifindex = index };

	return bind(fd, (struct sockaddr *)&address, sizeof(address));
}

static int ring_setup(struct tpacket *tpacket, int index)
{
	struct packet_mreq promiscuous = { .mr_ifindex = index, .mr_type = PACKET_MR_PROMISC };
	struct tpacket_req3 request = { .tp_block_size = BLOCK_SIZE,
					.tp_block_nr = BLOCK_COUNT,
					.tp_frame_size = 2048,
					.tp_frame_nr = BLOCK_SIZE / 2048 * BLOCK_COUNT,
					.tp_retire_blk_tov = BLOCK_TIMEOUT_MS };
	int fd = tpacket->port.fd;
	void *ring;

	if (option_set(fd, PACKET_VERSION, TPACKET_V3) < 0 ||
	    option_set(fd, PACKET_RESERVE, RESERVE) < 0 || option_set(fd, PACKET_VNET_HDR, 1) < 0 ||
	    option_set(fd, PACKET_IGNORE_OUTGOING, 1) < 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof(request)) < 0)
		return -errno;
	ring = mmap(NULL, (size_t)BLOCK_SIZE * BLOCK_COUNT, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    0);
	if (ring == MAP_FAILED)
		return -errno;
	tpacket->ring = ring;
	if (packet_bind(fd, index, ETH_P_ALL) < 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof(promiscuous)) <
		    0)
		return -errno;
	return 0;
}

static int send_setup(struct tpacket *tpacket, int index)
{
	/* Protocol 0: it receives nothing. */
	tpacket->send_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (tpacket->send_fd < 0 || packet_bind(tpacket->send_fd, index, 0) < 0)
		return -errno;
	tpacket->port.offloads = option_set(tpacket->send_fd, PACKET_VNET_HDR, 1) == 0;
	return 0;
}

static void tpacket_close(struct nic_port *port)
{
	struct tpacket *tpacket = (struct tpacket *)port;

	if (tpacket->ring)
		munmap(tpacket->ring, (size_t)BLOCK_SIZE * BLOCK_COUNT);
	if (port->fd >= 0)
		close(port->fd);
	if (tpacket->send_fd >= 0 && tpacket->send_fd != port->fd)
		close(tpacket->send_fd);
	free(tpacket);
}

static int open_failed(const char *name, int err)
{
	if (err == -EPERM)
		return error_set(-EACCES,
				 "port tpacket:%s needs CAP_NET_RAW: start it as root, or "
				 "with setpriv --ambient-caps=+net_raw, or give it a socket: "
				 "tpacket-fd:NUMBER",
				 name);
	if (err == -ENOENT || err == -ENODEV || err == -ENXIO)
		return error_set(-ENOENT,
				 "port tpacket:%s: no such interface here; 'ip link' lists "
				 "them",
				 name);
	if (err == -ENOMEM)
		return error_set(-ENOMEM, "port tpacket:%s: no memory for its ring of %u MiB", name,
				 BLOCK_SIZE * BLOCK_COUNT >> 20);
	return error_set(-ENOSYS,
			 "port tpacket:%s: the kernel refuses what it needs "
			 "(TPACKET_V3, PACKET_VNET_HDR): %s",
			 name, strerror(-err));
}

static int tpacket_open(const char *argument, struct nic_port **ret_port)
{
	struct tpacket *tpacket = alloc_zero(sizeof(*tpacket));
	int index = (int)if_nametoindex(argument), err = 0;

	if (!tpacket)
		return error_set(-ENOMEM, "no memory for a port");
	tpacket->port.ops = &nic_port_tpacket;
	tpacket->send_fd = -1;
	tpacket->port.fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (tpacket->port.fd < 0)
		err = -errno;
	else if (index == 0)
		err = -ENOENT;
	if (err == 0)
		err = ring_setup(tpacket, index);
	if (err == 0)
		err = send_setup(tpacket, index);
	if (err < 0) {
		tpacket_close(&tpacket->port);
		return open_failed(argument, err);
	}
	*ret_port = &tpacket->port;
	return 0;
}

static int tpacket_fd_open(const char *argument, struct nic_port **ret_port)
{
	struct sockaddr_ll address = { 0 };
	socklen_t len = sizeof(address);
	struct tpacket *tpacket;
	int fd, err = nic_port_fd_get("tpacket-fd", argument, &fd);
	if (err < 0)
		return err;
	tpacket = alloc_zero(sizeof(*tpacket));
	if (!tpacket) {
		close(fd);
		return error_set(-ENOMEM, "no memory for a port");
	}
	tpacket->port.ops = &nic_port_tpacket_fd;
	tpacket->port.fd = tpacket->send_fd = fd;
	tpacket->port.offloads = true;
	if (getsockname(fd, (struct sockaddr *)&address, &len) < 0 ||
	    address.sll_family != AF_PACKET || address.sll_ifindex == 0) {
		tpacket_close(&tpacket->port);
		return error_set(-EINVAL,
				 "port tpacket-fd:%s: no packet socket that is bound to an "
				 "interface",
				 argument);
	}
	err = fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ? -errno :
						   ring_setup(tpacket, address.sll_ifindex);
	if (err < 0) {
		tpacket_close(&tpacket->port);
		return open_failed(argument, err);
	}
	*ret_port = &tpacket->port;
	return 0;
}

/* ---- receiving ---- */

/* The tag that the kernel took out goes back between the addresses and the type. */
static void tag_insert(struct nic_packet *packet, uint8_t *data, const struct tpacket3_hdr *frame)
{
	uint16_t type = frame->tp_status & TP_STATUS_VLAN_TPID_VALID ? frame->hv1.tp_vlan_tpid :
								       ETH_P_8021Q;

	memmove(data - VLAN_LEN, data, ETH_TYPE);
	be16_put(data - VLAN_LEN + ETH_TYPE, type);
	be16_put(data - VLAN_LEN + ETH_TYPE + 2, frame->hv1.tp_vlan_tci);
	packet->data = data - VLAN_LEN;
	packet->len += VLAN_LEN;
	if (packet->flags & NIC_PACKET_CSUM_PARTIAL)
		packet->csum_start += VLAN_LEN;
}

/* False: nothing that can be passed on. */
static bool frame_take(struct tpacket *tpacket, struct nic_packet *packet)
{
	struct tpacket3_hdr *frame = tpacket->frame;
	uint8_t *data = (uint8_t *)frame + frame->tp_mac;
	struct virtio_net_hdr header;

	memcpy(&header, data - sizeof(header), sizeof(header));
	memset(packet, 0, sizeof(*packet));
	packet->data = data;
	packet->len = frame->tp_snaplen;
	if (frame->tp_snaplen != frame->tp_len || frame->tp_snaplen < ETH_LEN ||
	    !nic_port_offload_apply(packet, &header))
		return false;
	if (frame->tp_status & TP_STATUS_CSUM_VALID)
		packet->flags |= NIC_PACKET_CSUM_VALID;
	if (frame->tp_status & TP_STATUS_VLAN_VALID)
		tag_insert(packet, data, frame);
	return packet->len <= NIC_FRAME_MAX;
}

static void block_release(struct tpacket *tpacket)
{
	__atomic_store_n(&block_at(tpacket, tpacket->block)->hdr.bh1.block_status, TP_STATUS_KERNEL,
			 __ATOMIC_RELEASE);
	tpacket->block = (tpacket->block + 1) % BLOCK_COUNT;
	tpacket->open = false;
}

static bool block_take(struct tpacket *tpacket)
{
	struct tpacket_block_desc *block = block_at(tpacket, tpacket->block);

	if (!(__atomic_load_n(&block->hdr.bh1.block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
		return false;
	tpacket->open = true;
	tpacket->left = block->hdr.bh1.num_pkts;
	tpacket->frame = (void *)((uint8_t *)block + block->hdr.bh1.offset_to_first_pkt);
	return true;
}

/*
 * No block: why were we woken? An error stays until it is asked for. An interface that is down may come up
 * again, and frames with it; one that was removed leaves the socket without an interface.
 */
static int idle_check(const struct tpacket *tpacket)
{
	struct sockaddr_ll address = { 0 };
	socklen_t len = sizeof(int);
	int err = 0;

	if (getsockopt(tpacket->port.fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0 || err == 0)
		return 0;
	len = sizeof(address);
	if (getsockname(tpacket->port.fd, (struct sockaddr *)&address, &len) == 0 &&
	    address.sll_ifindex > 0)
		return 0;
	return error_set(-EIO, "the interface is gone: %s", strerror(err));
}

static int tpacket_receive(struct nic_port *port, struct nic_packet *packet, uint32_t max)
{
	struct tpacket *tpacket = (struct tpacket *)port;
	uint32_t count = 0;

	if (tpacket->open && tpacket->left == 0)
		block_release(tpacket);
	if (!tpacket->open && !block_take(tpacket))
		return idle_check(tpacket);
	for (; tpacket->left > 0 && count < max; tpacket->left--) {
		if (frame_take(tpacket, &packet[count])) {
			port->stats.rx_bytes += packet[count].len;
			count++;
		} else {
			port->stats.rx_lost++;
		}
		tpacket->frame =
			(void *)((uint8_t *)tpacket->frame + tpacket->frame->tp_next_offset);
	}
	port->stats.rx_frames += count;
	return (int)count;
}

/* ---- sending ---- */

static int tpacket_send(struct nic_port *port, const struct iovec *piece, uint32_t count,
			const struct virtio_net_hdr *offload)
{
	struct tpacket *tpacket = (struct tpacket *)port;
	static const struct virtio_net_hdr none;
	struct iovec all[1 + NIC_PORT_PIECE_MAX] = {
		{ (void *)(uintptr_t)(offload ? offload : &none), sizeof(none) }
	};
	struct msghdr message = { .msg_iov = all, .msg_iovlen = count + 1 };
	ssize_t sent;

	memcpy(&all[1], piece, count * sizeof(*piece));
	if (!port->offloads) {
		message.msg_iov = &all[1];
		message.msg_iovlen = count;
	}
	sent = sendmsg(tpacket->send_fd, &message, MSG_DONTWAIT);
	if (sent < 0) {
		port->stats.tx_lost++;
		if (errno == EAGAIN || errno == ENOBUFS)
			return -EAGAIN;
		return error_set(-EIO, "sending a frame: %s", strerror(errno));
	}
	port->stats.tx_frames++;
	port->stats.tx_bytes += (uint64_t)sent - (port->offloads ? sizeof(none) : 0);
	return 0;
}

/* The kernel starts from 0 each time it is asked. */
static void tpacket_refresh(struct nic_port *port)
{
	struct tpacket_stats_v3 stats = { 0 };
	socklen_t len = sizeof(stats);

	if (getsockopt(port->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len) == 0)
		port->stats.rx_lost += stats.tp_drops;
}

const struct nic_port_ops nic_port_tpacket = {
	.name = "tpacket",
	.open = tpacket_open,
	.close = tpacket_close,
	.receive = tpacket_receive,
	.send = tpacket_send,
	.refresh = tpacket_refresh,
};

const struct nic_port_ops nic_port_tpacket_fd = {
	.name = "tpacket-fd",
	.open = tpacket_fd_open,
	.close = tpacket_close,
	.receive = tpacket_receive,
	.send = tpacket_send,
	.refresh = tpacket_refresh,
};
