/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pcap_file.h -- capture files: the classic format, Ethernet
 *
 * Read in either byte order, with microseconds or nanoseconds; written in ours, with nanoseconds.
 * Threads: one thread at a time.
 */
#ifndef NICDRV_PORT_PCAP_FILE_H
#define NICDRV_PORT_PCAP_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/uio.h>

struct pcap_frame {
	uint64_t time_ns;
	const uint8_t *data; /* borrows the file's bytes */
	uint32_t len;	     /* as much as was captured */
	uint32_t wire_len;
};

struct pcap_reader {
	const uint8_t *data; /* borrowed */
	size_t len, at;
	bool swapped, nanoseconds;
};

/* Borrows data. Errors: -EPROTO no capture file of Ethernet frames. */
int pcap_reader_init(struct pcap_reader *reader, const void *data, size_t len);
/* 1: a frame; 0: the end. Errors: -EPROTO cut off, or damaged. */
int pcap_reader_next(struct pcap_reader *reader, struct pcap_frame *ret_frame);

/* Errors: -EACCES, -ENOENT, -EIO; error_text() says which file. */
int pcap_writer_open(const char *path, FILE **ret_file);
/* False: the disk is full, or something like it. */
bool pcap_writer_add(FILE *file, uint64_t time_ns, const struct iovec *piece, uint32_t count);

#endif
