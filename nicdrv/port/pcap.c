/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pcap.c -- frames from a capture file, at the distances they were captured
 *
 * "pcap:FILE" keeps the time between frames, "pcap:FILE,fast" does not. There is nobody behind it:
 * what is sent is counted as lost.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "nicdrv/port/pcap_file.h"
#include "nicdrv/port/port.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

struct pcap {
	struct nic_port port;
	uint8_t *data; /* owned: the file */
	struct pcap_reader reader;
	struct pcap_frame next;
	bool fast, pending;	 /* next is a frame that was not given */
	uint64_t first_ns, zero; /* the first frame's time in the file, and here */
};

static void pcap_close(struct nic_port *port)
{
	struct pcap *pcap = (struct pcap *)port;

	if (port->fd >= 0)
		close(port->fd);
	free(pcap->data);
	free(pcap);
}

/* Copied, because a file that is cut short under a mapping kills who reads it. */
static int file_read(const char *path, uint8_t **ret_data, size_t *ret_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat stat;
	uint8_t *data;
	size_t done = 0;

	if (fd < 0)
		return error_set(errno == EACCES ? -EACCES : -ENOENT, "capture file %.200s: %s",
				 path, strerror(errno));
	if (fstat(fd, &stat) < 0 || !S_ISREG(stat.st_mode)) {
		close(fd);
		return error_set(-EPROTO, "capture file %.200s is no regular file", path);
	}
	data = alloc_zero((size_t)stat.st_size + 1);
	while (data && done < (size_t)stat.st_size) {
		ssize_t got = read(fd, data + done, (size_t)stat.st_size - done);
		if (got <= 0)
			break;
		done += (size_t)got;
	}
	close(fd);
	if (!data)
		return error_set(-ENOMEM, "no memory for capture file %.200s", path);
	*ret_data = data;
	*ret_len = done;
	return 0;
}

static int frame_next(struct pcap *pcap)
{
	int got = pcap_reader_next(&pcap->reader, &pcap->next);

	pcap->pending = got == 1;
	pcap->port.ended = got != 1;
	return got < 0 ? got : 0;
}

/* When the next frame is due; 0: now. */
static uint64_t due_ns(const struct pcap *pcap)
{
	if (pcap->fast || pcap->next.time_ns < pcap->first_ns)
		return 0;
	return pcap->zero + (pcap->next.time_ns - pcap->first_ns);
}

static void timer_arm(struct pcap *pcap)
{
	uint64_t due = pcap->pending ? due_ns(pcap) : UINT64_MAX / 4;
	struct itimerspec when = { .it_value = { (time_t)(due / NS_PER_S),
						 (long)(due % NS_PER_S) } };

	if (due == 0)
		when.it_value.tv_nsec = 1; /* long past */
	/* Setting it takes back its readability. */
	timerfd_settime(pcap->port.fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static int pcap_make(struct pcap *pcap, const char *path)
{
	size_t len;
	int err = file_read(path, &pcap->data, &len);
	if (err < 0)
		return err;
	err = pcap_reader_init(&pcap->reader, pcap->data, len);
	if (err == 0)
		err = frame_next(pcap);
	if (err < 0)
		return err;
	pcap->port.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (pcap->port.fd < 0)
		return error_set(-EMFILE, "no descriptor for a timer: %s", strerror(errno));
	pcap->first_ns = pcap->next.time_ns;
	timer_arm(pcap);
	return 0;
}

static int pcap_open(const char *argument, struct nic_port **ret_port)
{
	static const char fast[] = ",fast";
	size_t len = strlen(argument), tail = sizeof(fast) - 1;
	struct pcap *pcap;
	char path[PATH_MAX];
	int err;

	if (len == 0 || len >= sizeof(path))
		return error_set(-EINVAL, "port pcap:%.40s: give the name of a file", argument);
	pcap = alloc_zero(sizeof(*pcap));
	if (!pcap)
		return error_set(-ENOMEM, "no memory for a port");
	pcap->port.ops = &nic_port_pcap;
	pcap->port.fd = -1;
	pcap->fast = len > tail && strcmp(argument + len - tail, fast) == 0;
	if (pcap->fast)
		len -= tail;
	memcpy(path, argument, len);
	path[len] = '\0';
	err = pcap_make(pcap, path);
	if (err < 0) {
		pcap_close(&pcap->port);
		return err;
	}
	*ret_port = &pcap->port;
	return 0;
}

static int pcap_receive(struct nic_port *port, struct nic_packet *packet, uint32_t max)
{
	struct pcap *pcap = (struct pcap *)port;
	uint64_t now = clock_now_ns();
	uint32_t count = 0;

	/* The clock starts when somebody listens. */
	if (pcap->zero == 0)
		pcap->zero = now;
	while (count < max && pcap->pending && due_ns(pcap) <= now) {
		if (pcap->next.len >= ETH_LEN && pcap->next.len <= NIC_FRAME_MAX &&
		    pcap->next.len == pcap->next.wire_len) {
			packet[count++] = (struct nic_packet){ .data = pcap->next.data,
							       .len = pcap->next.len };
			port->stats.rx_bytes += pcap->next.len;
		} else {
			port->stats.rx_lost++;
		}
		int err = frame_next(pcap);
		if (err < 0 && count == 0)
			return error_set(-EIO, "the rest of a capture file is damaged");
	}
	port->stats.rx_frames += count;
	timer_arm(pcap);
	return (int)count;
}

static int pcap_send(struct nic_port *port, const struct iovec *piece, uint32_t count,
		     const struct virtio_net_hdr *offload)
{
	(void)piece, (void)count, (void)offload;
	port->stats.tx_lost++;
	return error_set(-EIO, "a port that replays a file has nobody to send to");
}

const struct nic_port_ops nic_port_pcap = {
	.name = "pcap",
	.open = pcap_open,
	.close = pcap_close,
	.receive = pcap_receive,
	.send = pcap_send,
};
