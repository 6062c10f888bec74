/* SPDX-License-Identifier: BSD-3-Clause */
/* nic_pcap.c -- fuzz target: a capture file from anybody; every frame lies inside of it */
#include "base/assert.h"
#include "nicdrv/port/pcap_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pcap_reader reader;
	struct pcap_frame frame;
	size_t at = 24;

	if (pcap_reader_init(&reader, data, size) < 0)
		return 0;
	while (pcap_reader_next(&reader, &frame) == 1) {
		FARBUS_ASSERT(frame.data == data + at + 16);
		FARBUS_ASSERT(frame.len <= size - at - 16);
		at += 16 + frame.len;
	}
	FARBUS_ASSERT(reader.at <= size);
	return 0;
}
