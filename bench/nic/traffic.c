/* SPDX-License-Identifier: BSD-3-Clause */
/* traffic.c -- frames of TCP flows in the order of a pattern */
#include "traffic.h"

#include "nicdrv/device/csum.h"
#include "nicdrv/device/packet.h"

#define PAYLOAD (TRAFFIC_FRAME - TRAFFIC_HEADER)

const struct traffic_pattern traffic_patterns[] = {
	{ "one flow", 1, TRAFFIC_BURST },
	{ "trains of 16", TRAFFIC_FLOWS, 16 },
	{ "trains of 4", TRAFFIC_FLOWS, 4 },
	{ "round robin", TRAFFIC_FLOWS, 1 },
};
const unsigned traffic_pattern_count = sizeof(traffic_patterns) / sizeof(traffic_patterns[0]);

void traffic_write(const struct traffic_pattern *pattern, unsigned index, uint8_t *frame)
{
	static const uint8_t start[ETH_LEN] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0 };
	static const uint8_t stamp[12] = { 1, 1, 8, 10, 0, 0, 1, 2, 0, 0, 3, 4 };
	unsigned flow = index / pattern->train % pattern->flows;
	unsigned round = index / (pattern->train * pattern->flows);
	unsigned number = round * pattern->train + index % pattern->train;
	uint8_t *ip = frame + ETH_LEN, *tcp = ip + IP4_LEN;

	memset(frame, 0, TRAFFIC_FRAME);
	memcpy(frame, start, sizeof(start));
	ip[0] = 0x45;
	be16_put(ip + IP4_TOTAL, TRAFFIC_FRAME - ETH_LEN);
	be16_put(ip + IP4_ID, number + 1);
	ip[6] = 0x40;
	ip[8] = 64;
	ip[9] = PROTO_TCP;
	be32_put(ip + 12, 0x0a000001);
	be32_put(ip + 16, 0x0a010000 + flow);
	be16_put(tcp, 1000 + flow);
	be16_put(tcp + 2, 5001);
	be32_put(tcp + TCP_SEQ, 1 + number * PAYLOAD);
	tcp[TCP_OFFSET] = (TCP_LEN + sizeof(stamp)) / 4 << 4;
	tcp[TCP_FLAGS] = TCP_ACK;
	be16_put(tcp + 14, 500);
	memcpy(tcp + TCP_LEN, stamp, sizeof(stamp));
	for (unsigned i = 0; i < PAYLOAD; i++)
		frame[TRAFFIC_HEADER + i] = (uint8_t)(index * 7 + i * 13);
	raw16_put(ip + IP4_CSUM, ~csum_fold(csum_header(ip, IP4_LEN)));
	uint64_t sum = csum_header(ip + IP4_SRC, 8) + ((uint64_t)PROTO_TCP << 8) +
		       __builtin_bswap16(TRAFFIC_FRAME - ETH_LEN - IP4_LEN);
	raw16_put(tcp + TCP_CSUM,
		  ~csum_fold(sum + csum_header(tcp, TRAFFIC_FRAME - ETH_LEN - IP4_LEN)));
}
