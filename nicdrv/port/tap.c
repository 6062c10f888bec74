/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tap.c -- frames of a TAP interface: what the host's own network stack sends and receives
 *
 * Frames come and go with a virtio header in front, so that checksums and segmentation are left to
 * who is better at it. "tap:IFNAME" opens or makes the interface and needs CAP_NET_ADMIN, or an
 * interface made for this user; "tap-fd:NUMBER" is a descriptor that somebody else opened, with
 * IFF_TAP | IFF_NO_PI | IFF_VNET_HDR.
 */
#include "base/alloc.h"
#include "base/error.h"
#include "nicdrv/port/port.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define SLOT_COUNT 64
#define SLOT_SIZE 69632 /* the longest frame with its header, in whole pages */

_Static_assert(SLOT_SIZE >= NIC_FRAME_MAX + sizeof(struct virtio_net_hdr), "a frame fits");

struct tap {
	struct nic_port port;
	uint8_t *slots; /* owned: address space, of which frames touch what they need */
};

static void tap_close(struct nic_port *port)
{
	struct tap *tap = (struct tap *)port;

	if (tap->slots)
		munmap(tap->slots, (size_t)SLOT_COUNT * SLOT_SIZE);
	if (port->fd >= 0)
		close(port->fd);
	free(tap);
}

/* Takes fd, also when it fails. */
static int tap_make(int fd, const struct nic_port_ops *ops, struct nic_port **ret_port)
{
	struct tap *tap = alloc_zero(sizeof(*tap));
	int header_len = sizeof(struct virtio_net_hdr), flags = fcntl(fd, F_GETFL);

	if (!tap) {
		close(fd);
		return error_set(-ENOMEM, "no memory for a port");
	}
	tap->port.ops = ops;
	tap->port.fd = fd;
	tap->port.offloads = true;
	tap->slots = mmap(NULL, (size_t)SLOT_COUNT * SLOT_SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (tap->slots == MAP_FAILED) {
		tap->slots = NULL;
		tap_close(&tap->port);
		return error_set(-ENOMEM, "no memory for a port");
	}
	if (ioctl(fd, TUNSETVNETHDRSZ, &header_len) < 0 ||
	    ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) < 0 ||
	    fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
		tap_close(&tap->port);
		return error_set(-ENOSYS, "a TAP port needs a virtio header: open it with "
					  "IFF_TAP | IFF_NO_PI | IFF_VNET_HDR");
	}
	*ret_port = &tap->port;
	return 0;
}

static int tap_open(const char *argument, struct nic_port **ret_port)
{
	struct ifreq request = { 0 };
	size_t len = strlen(argument);
	int fd;

	if (len == 0 || len >= sizeof(request.ifr_name))
		return error_set(-EINVAL, "port tap:%.40s: a name of 1 to %zu characters", argument,
				 sizeof(request.ifr_name) - 1);
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return error_set(errno == EACCES ? -EACCES : -ENOSYS,
				 "port tap:%s: /dev/net/tun: %s", argument, strerror(errno));
	memcpy(request.ifr_name, argument, len);
	request.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
	if (ioctl(fd, TUNSETIFF, &request) < 0) {
		int err = errno == EPERM ? -EACCES : errno == EBUSY ? -EBUSY : -ENOSYS;

		err = error_set(err,
				"port tap:%s: %s; an interface made with 'ip tuntap add %s "
				"mode tap user NAME' needs no capability",
				argument, strerror(errno), argument);
		close(fd);
		return err;
	}
	return tap_make(fd, &nic_port_tap, ret_port);
}

static int tap_fd_open(const char *argument, struct nic_port **ret_port)
{
	int fd, err = nic_port_fd_get("tap-fd", argument, &fd);
	if (err < 0)
		return err;
	return tap_make(fd, &nic_port_tap_fd, ret_port);
}

/* 1: a frame; 0: none now; -EIO. */
static int frame_read(struct tap *tap, uint32_t slot, struct nic_packet *packet)
{
	uint8_t *data = tap->slots + (size_t)slot * SLOT_SIZE;
	struct virtio_net_hdr header;
	ssize_t got = read(tap->port.fd, data, SLOT_SIZE);

	if (got < 0 && errno != EAGAIN && errno != EINTR)
		return error_set(-EIO, "reading frames from a TAP interface: %s", strerror(errno));
	if (got < 0)
		return 0;
	memset(packet, 0, sizeof(*packet));
	packet->data = data + sizeof(header);
	if (got < (ssize_t)sizeof(header) + ETH_LEN)
		return 1;
	memcpy(&header, data, sizeof(header));
	packet->len = (uint32_t)got - (uint32_t)sizeof(header);
	if (packet->len > NIC_FRAME_MAX || !nic_port_offload_apply(packet, &header))
		packet->len = 0;
	return 1;
}

static int tap_receive(struct nic_port *port, struct nic_packet *packet, uint32_t max)
{
	struct tap *tap = (struct tap *)port;
	uint32_t count = 0;

	max = max < SLOT_COUNT ? max : SLOT_COUNT;
	/* Bounded also when all that comes is refused. */
	for (uint32_t reads = 0; reads < SLOT_COUNT && count < max; reads++) {
		int got = frame_read(tap, count, &packet[count]);

		if (got < 0 && count == 0)
			return got;
		if (got <= 0)
			break;
		if (packet[count].len == 0) {
			port->stats.rx_lost++;
			continue;
		}
		port->stats.rx_bytes += packet[count++].len;
	}
	port->stats.rx_frames += count;
	return (int)count;
}

static int tap_send(struct nic_port *port, const struct iovec *piece, uint32_t count,
		    const struct virtio_net_hdr *offload)
{
	static const struct virtio_net_hdr none;
	struct iovec all[1 + NIC_PORT_PIECE_MAX] = {
		{ (void *)(uintptr_t)(offload ? offload : &none), sizeof(none) }
	};
	ssize_t sent;

	memcpy(&all[1], piece, count * sizeof(*piece));
	sent = writev(port->fd, all, (int)count + 1);
	if (sent < 0) {
		port->stats.tx_lost++;
		if (errno == EAGAIN || errno == ENOBUFS)
			return -EAGAIN;
		return error_set(-EIO, "sending a frame: %s", strerror(errno));
	}
	port->stats.tx_frames++;
	port->stats.tx_bytes += (uint64_t)sent - sizeof(none);
	return 0;
}

const struct nic_port_ops nic_port_tap = {
	.name = "tap",
	.open = tap_open,
	.close = tap_close,
	.receive = tap_receive,
	.send = tap_send,
};

const struct nic_port_ops nic_port_tap_fd = {
	.name = "tap-fd",
	.open = tap_fd_open,
	.close = tap_close,
	.receive = tap_receive,
	.send = tap_send,
};
