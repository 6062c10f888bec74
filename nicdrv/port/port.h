/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * port.h -- where a device's frames come from and go to
 *
 * Threads: one thread at a time.
 */
#ifndef NICDRV_PORT_PORT_H
#define NICDRV_PORT_PORT_H

#include "nicdrv/device/packet.h"
#include <linux/virtio_net.h>
#include <sys/uio.h>

#define NIC_PORT_BURST_MAX 256 /* frames of one receive */
#define NIC_PORT_PIECE_MAX 64  /* pieces of a frame to send */

struct nic_port_stats {
	uint64_t rx_frames, rx_bytes;
	uint64_t rx_lost; /* frames the kernel had no room for, because we were late */
	uint64_t tx_frames, tx_bytes;
	uint64_t tx_lost; /* frames that could not be sent */
};

struct nic_port {
	const struct nic_port_ops *ops;
	int fd;	       /* readable: there may be frames */
	bool offloads; /* send() takes checksums to complete and frames to cut */
	bool ended;    /* there will be no more frames, as at the end of a file */
	struct nic_port_stats stats;
};

struct nic_port_ops {
	const char *name;
	/* argument is what stands behind "NAME:". Errors: those of nic_port_open(). */
	int (*open)(const char *argument, struct nic_port **ret_port);
	void (*close)(struct nic_port *port);
	/*
	 * Up to max frames that are there now; 0: none. They are borrowed until the next call.
	 * Errors: -EIO the port is gone; error_text() says why.
	 */
	int (*receive)(struct nic_port *port, struct nic_packet *packet, uint32_t max);
	/*
	 * One frame. offload: NULL, or, if the port has offloads, what is left to do.
	 * Errors: -EAGAIN no room, -EIO not sent; both are counted as lost.
	 */
	int (*send)(struct nic_port *port, const struct iovec *piece, uint32_t count,
		    const struct virtio_net_hdr *offload);
	/* Brings stats up to date; NULL: they always are. */
	void (*refresh)(struct nic_port *port);
};

/*
 * "tpacket:IFNAME", "tpacket-fd:NUMBER", "tap:IFNAME", "tap-fd:NUMBER", "pcap:FILE". Ownership: nic_port_close().
 * Errors: -EINVAL no such kind, or what its argument lacks; -ENOENT no such interface or file;
 * -EACCES a capability is missing; -EPROTO a file that is no capture; -ENOMEM.
 */
int nic_port_open(const char *text, struct nic_port **ret_port);
struct nic_port *nic_port_close(struct nic_port *port); /* takes NULL */

/*
 * A copy of the descriptor whose number stands in argument, which is "KIND:NUMBER" less "KIND:".
 * Errors: -EINVAL no number, -EBADF no descriptor.
 */
int nic_port_fd_get(const char *kind, const char *argument, int *ret_fd);

/* The stats, after the kernel was asked for its part. */
void nic_port_stats_get(struct nic_port *port, struct nic_port_stats *ret_stats);

/* What a virtio header in front of a received frame says. False: it is no honest one. */
bool nic_port_offload_apply(struct nic_packet *packet, const struct virtio_net_hdr *header);

extern const struct nic_port_ops nic_port_tpacket, nic_port_tpacket_fd, nic_port_tap,
	nic_port_tap_fd, nic_port_pcap;

#endif
