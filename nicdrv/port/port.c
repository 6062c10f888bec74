/* SPDX-License-Identifier: BSD-3-Clause */
/* port.c -- ports by name, and what they share */
#include "nicdrv/port/port.h"

#include "base/error.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define FD_MAX 65536

static const struct nic_port_ops *const kinds[] = {
	&nic_port_tpacket, &nic_port_tpacket_fd, &nic_port_tap, &nic_port_tap_fd, &nic_port_pcap,
};

int nic_port_open(const char *text, struct nic_port **ret_port)
{
	size_t len = strcspn(text, ":");

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && text[len] == ':'; i++)
		if (strlen(kinds[i]->name) == len && memcmp(kinds[i]->name, text, len) == 0)
			return kinds[i]->open(text + len + 1, ret_port);
	return error_set(-EINVAL,
			 "port '%.60s': give tpacket:IFNAME, tap:IFNAME, tpacket-fd:NUMBER, "
			 "tap-fd:NUMBER or pcap:FILE",
			 text);
}

int nic_port_fd_get(const char *kind, const char *argument, int *ret_fd)
{
	char *end;
	long number = strtol(argument, &end, 10);
	int fd;

	if (end == argument || *end || number < 0 || number > FD_MAX)
		return error_set(-EINVAL, "port %s:%.40s: give the number of a descriptor", kind,
				 argument);
	fd = fcntl((int)number, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return error_set(-EBADF, "port %s:%s: %s", kind, argument, strerror(errno));
	*ret_fd = fd;
	return 0;
}

struct nic_port *nic_port_close(struct nic_port *port)
{
	if (port)
		port->ops->close(port);
	return NULL;
}

static bool gso_known(uint8_t type)
{
	type &= (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
	return type == VIRTIO_NET_HDR_GSO_TCPV4 || type == VIRTIO_NET_HDR_GSO_TCPV6;
}

bool nic_port_offload_apply(struct nic_packet *packet, const struct virtio_net_hdr *header)
{
	if (header->flags & VIRTIO_NET_HDR_F_DATA_VALID)
		packet->flags |= NIC_PACKET_CSUM_VALID;
	if (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		if (header->csum_start > NIC_HEADER_MAX ||
		    (uint32_t)header->csum_start + header->csum_offset + 2 > packet->len)
			return false;
		packet->flags |= NIC_PACKET_CSUM_PARTIAL;
		packet->csum_start = header->csum_start;
		packet->csum_offset = header->csum_offset;
	}
	if (header->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return true;
	if (!gso_known(header->gso_type) || header->gso_size == 0 ||
	    !(packet->flags & NIC_PACKET_CSUM_PARTIAL))
		return false;
	packet->gso_type = header->gso_type;
	packet->gso_size = header->gso_size;
	return true;
}

void nic_port_stats_get(struct nic_port *port, struct nic_port_stats *ret_stats)
{
	if (port->ops->refresh)
		port->ops->refresh(port);
	*ret_stats = port->stats;
}
