/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pcap_file.c -- capture files
 *
 *   24 bytes: magic, version, zone, accuracy, snaplen, link type | 16 bytes: seconds, fraction,
 *   captured, length | captured bytes | ...
 */
#include "nicdrv/port/pcap_file.h"

#include "base/clock.h"
#include "base/error.h"
#include "nicdrv/device/packet.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define MAGIC_US 0xa1b2c3d4u
#define MAGIC_NS 0xa1b23c4du
#define HEADER_LEN 24
#define RECORD_LEN 16
#define LINK_AT 20
#define LINK_ETHERNET 1

static uint32_t word_get(const struct pcap_reader *reader, size_t at)
{
	uint32_t word = raw32_get(reader->data + at);

	return reader->swapped ? __builtin_bswap32(word) : word;
}

int pcap_reader_init(struct pcap_reader *reader, const void *data, size_t len)
{
	struct pcap_reader made = { .data = data, .len = len, .at = HEADER_LEN };
	uint32_t magic;

	if (len < HEADER_LEN)
		return error_set(-EPROTO, "a capture file of %zu bytes: its header alone has %d",
				 len, HEADER_LEN);
	magic = raw32_get(made.data);
	made.swapped = magic == __builtin_bswap32(MAGIC_US) || magic == __builtin_bswap32(MAGIC_NS);
	magic = word_get(&made, 0);
	made.nanoseconds = magic == MAGIC_NS;
	if (magic != MAGIC_US && magic != MAGIC_NS)
		return error_set(-EPROTO, "no capture file in pcap format; 'editcap -F pcap' makes "
					  "one of pcapng");
	if ((word_get(&made, LINK_AT) & 0xffff) != LINK_ETHERNET)
		return error_set(-EPROTO,
				 "a capture file with link type %u: 1, Ethernet, is needed",
				 word_get(&made, LINK_AT) & 0xffff);
	*reader = made;
	return 0;
}

int pcap_reader_next(struct pcap_reader *reader, struct pcap_frame *ret_frame)
{
	size_t left = reader->len - reader->at;
	uint32_t len;

	if (left == 0)
		return 0;
	if (left < RECORD_LEN)
		return error_set(-EPROTO, "a capture file that ends within a record");
	len = word_get(reader, reader->at + 8);
	if (len > left - RECORD_LEN)
		return error_set(-EPROTO, "a capture file that ends within a frame of %u bytes",
				 len);
	*ret_frame = (struct pcap_frame){
		.time_ns = word_get(reader, reader->at) * NS_PER_S +
			   word_get(reader, reader->at + 4) * (reader->nanoseconds ? 1 : NS_PER_US),
		.data = reader->data + reader->at + RECORD_LEN,
		.len = len,
		.wire_len = word_get(reader, reader->at + 12),
	};
	reader->at += RECORD_LEN + len;
	return 1;
}

int pcap_writer_open(const char *path, FILE **ret_file)
{
	const uint32_t header[6] = { MAGIC_NS, 2 | 4u << 16, 0, 0, NIC_FRAME_MAX, LINK_ETHERNET };
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), saved;
	FILE *file = fd < 0 ? NULL : fdopen(fd, "w");

	_Static_assert(sizeof(header) == HEADER_LEN, "as the format has it");
	if (file && fwrite(header, sizeof(header), 1, file) == 1) {
		*ret_file = file;
		return 0;
	}
	saved = errno;
	if (file)
		fclose(file);
	else if (fd >= 0)
		close(fd);
	return error_set(saved == EACCES ? -EACCES :
			 saved == ENOENT ? -ENOENT :
					   -EIO,
			 "capture file %.200s: %s", path, strerror(saved));
}

bool pcap_writer_add(FILE *file, uint64_t time_ns, const struct iovec *piece, uint32_t count)
{
	uint32_t len = 0;

	for (uint32_t i = 0; i < count; i++)
		len += (uint32_t)piece[i].iov_len;
	const uint32_t record[4] = { (uint32_t)(time_ns / NS_PER_S), (uint32_t)(time_ns % NS_PER_S),
				     len, len };
	if (fwrite(record, sizeof(record), 1, file) != 1)
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (fwrite(piece[i].iov_base, 1, piece[i].iov_len, file) != piece[i].iov_len)
			return false;
	return true;
}
