/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * talk.c -- two boxes, each written by the other end
 *
 *   box:  tail  head  word | table of RAM | ring
 *
 * tail: bytes that were put into our ring, times 2, plus 1 at the end. head: bytes that the other
 * took out of its own. Each is written with a signal, after what it is about. What is in a box is
 * the peer's word, and checked when it is read.
 */
#include "apps/farbus-migrate/talk.h"

#include "base/error.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define AT_TAIL 0
#define AT_HEAD 64
#define AT_WORD 128
#define AT_COUNT 192
#define AT_BOOT 256 /* dest's boot id, as text */
#define AT_TABLE 4096
#define AT_RING 8192
#define BOX_SIZE (AT_RING + TALK_RING_SIZE)
#define SLICE_MS 100 /* how long a wait may overlook that the peer is gone */

_Static_assert(sizeof(struct talk_ram) * OPTIONS_RAM_MAX <= AT_RING - AT_TABLE, "table fits");

void talk_break(struct talk *talk, int why)
{
	int none = 0;

	__atomic_compare_exchange_n(&talk->broken, &none, why, false, __ATOMIC_RELAXED,
				    __ATOMIC_RELAXED);
}

static int broken(struct talk *talk)
{
	int why = __atomic_load_n(&talk->broken, __ATOMIC_RELAXED);

	if (why == 0)
		return 0;
	return error_set(why,
			 why == -EHOSTDOWN ? "the other side is gone" : "the move was given up");
}

int talk_alive(struct talk *talk)
{
	struct farbus_event event[8];
	size_t count = 0;

	if (farbus_poll(talk->farbus, event, 8, 0, &count) == 0)
		for (size_t i = 0; i < count; i++)
			if (event[i].kind == FARBUS_EVENT_PEER_LOST ||
			    event[i].kind == FARBUS_EVENT_REVOKED)
				talk_break(talk, -EHOSTDOWN);
	return broken(talk);
}

/* Waits until the word of our box is not value; in slices. */
static int word_wait(struct talk *talk, uint64_t off, uint64_t value, uint64_t *ret_seen)
{
	int err;

	do {
		err = broken(talk);
		if (err < 0)
			return err;
		err = farbus_wait(talk->own, off, FARBUS_NE, value, SLICE_MS, ret_seen);
		if (err == -ETIMEDOUT)
			talk_alive(talk);
	} while (err == -ETIMEDOUT);
	return err;
}

/* ---- streams ---- */

static uint64_t box_load(const struct talk *talk, uint64_t off)
{
	return __atomic_load_n((const uint64_t *)(talk->box + off), __ATOMIC_ACQUIRE);
}

/* Room in the peer's ring; at least a byte. */
static int room_wait(struct talk *talk, uint64_t *ret_room)
{
	uint64_t head = box_load(talk, AT_HEAD);

	while (head + TALK_RING_SIZE == talk->sent) {
		int err = word_wait(talk, AT_HEAD, head, &head);
		if (err < 0)
			return err;
	}
	if (head > talk->sent || talk->sent - head > TALK_RING_SIZE)
		return error_set(-EPROTO, "the other side took bytes that were never sent");
	*ret_room = head + TALK_RING_SIZE - talk->sent;
	return 0;
}

static uint64_t piece_len(uint64_t position, uint64_t room, uint64_t len)
{
	uint64_t straight = TALK_RING_SIZE - position % TALK_RING_SIZE;

	room = room < straight ? room : straight;
	return len < room ? len : room;
}

static int peer_signal(struct talk *talk, uint64_t off, uint64_t value)
{
	return farbus_signal(talk->peer, off, value, FARBUS_SWAP);
}

int talk_send(struct talk *talk, const void *data, size_t len)
{
	const uint8_t *at = data;

	while (len > 0) {
		uint64_t room = 0, piece;
		int err = room_wait(talk, &room);
		if (err < 0)
			return err;
		piece = piece_len(talk->sent, room, len);
		err = farbus_put(talk->peer, AT_RING + talk->sent % TALK_RING_SIZE, at, piece);
		if (err == 0)
			err = peer_signal(talk, AT_TAIL, (talk->sent + piece) << 1);
		if (err < 0)
			return err;
		talk->sent += piece;
		at += piece;
		len -= piece;
	}
	return 0;
}

int talk_send_end(struct talk *talk)
{
	return peer_signal(talk, AT_TAIL, talk->sent << 1 | 1);
}

int talk_receive(struct talk *talk, void *data, size_t max, size_t *ret_len)
{
	uint64_t tail = box_load(talk, AT_TAIL), piece;

	while (tail >> 1 == talk->received && !(tail & 1)) {
		int err = word_wait(talk, AT_TAIL, tail, &tail);
		if (err < 0)
			return err;
	}
	if (tail >> 1 < talk->received || (tail >> 1) - talk->received > TALK_RING_SIZE)
		return error_set(-EPROTO, "the other side sent more than there is room for");
	piece = piece_len(talk->received, (tail >> 1) - talk->received, max);
	memcpy(data, talk->box + AT_RING + talk->received % TALK_RING_SIZE, piece);
	talk->received += piece;
	*ret_len = piece;
	return piece == 0 ? 0 : peer_signal(talk, AT_HEAD, talk->received);
}

/* ---- words ---- */

int talk_say(struct talk *talk, enum talk_word word)
{
	return peer_signal(talk, AT_WORD, word);
}

int talk_hear(struct talk *talk, enum talk_word last, int timeout_ms, enum talk_word *ret_word)
{
	uint64_t word = box_load(talk, AT_WORD);

	for (int waited = 0; word == (uint64_t)last; waited += SLICE_MS) {
		int err = farbus_wait(talk->own, AT_WORD, FARBUS_NE, last,
				      timeout_ms < SLICE_MS ? timeout_ms : SLICE_MS, &word);
		if (err == 0)
			break;
		if (err != -ETIMEDOUT)
			return err;
		/* What was said before the end counts. */
		err = talk_alive(talk);
		word = box_load(talk, AT_WORD);
		if (err < 0 && word == (uint64_t)last)
			return err;
		if (word == (uint64_t)last && waited + SLICE_MS >= timeout_ms)
			return error_set(-ETIMEDOUT, "the other side says nothing");
	}
	if (word < (uint64_t)last || word > TALK_FAILED)
		return error_set(-EPROTO, "the other side says %llu", (unsigned long long)word);
	*ret_word = (enum talk_word)word;
	return 0;
}

/* ---- open ---- */

static void boot_id(char text[64])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t len = fd >= 0 ? read(fd, text, 63) : 0;

	text[len > 0 ? len : 0] = '\0';
	if (fd >= 0)
		close(fd);
}

static int own_open(struct talk *talk, const char *name)
{
	struct farbus_region_info info;
	struct farbus_token token;
	int err = farbus_region_alloc(talk->farbus, BOX_SIZE, 0, &talk->own);

	if (err == 0)
		err = farbus_region_info(talk->own, &info);
	if (err < 0)
		return err;
	talk->box = info.va;
	memcpy(talk->box + AT_TABLE, talk->table, sizeof(talk->table));
	memcpy(talk->box + AT_COUNT, &talk->ram_count, sizeof(talk->ram_count));
	boot_id((char *)talk->box + AT_BOOT);
	err = farbus_region_grant(talk->own, 0, BOX_SIZE, FARBUS_R | FARBUS_W | FARBUS_A, NULL,
				  &token);
	return err < 0 ? err : farbus_publish(talk->farbus, name, &token);
}

static int peer_open(struct talk *talk, const char *name)
{
	struct farbus_token token;
	int err = farbus_lookup(talk->farbus, name, FARBUS_TIMEOUT_DEFAULT, &token);
	if (err < 0)
		return err;
	return farbus_region_import(talk->farbus, &token, FARBUS_TIMEOUT_DEFAULT, &talk->peer);
}

static int ram_offer(struct talk *talk, const struct ram *ram, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct farbus_memory memory = { .fd = ram[i].fd, .len = ram[i].len };
		struct farbus_token token;
		char name[FARBUS_NAME_MAX];
		int err;

		talk->table[i] =
			(struct talk_ram){ "", ram[i].len, ram[i].dev, ram[i].ino, ram[i].zero };
		memcpy(talk->table[i].name, ram[i].name, RAM_NAME_MAX);
		snprintf(name, sizeof(name), "farbus-migrate.ram.%u", i);
		err = farbus_region_adopt(talk->farbus, &memory, &talk->ram[i]);
		talk->ram_count += err == 0;
		if (err == 0)
			err = farbus_region_grant(talk->ram[i], 0, ram[i].len, FARBUS_R | FARBUS_W,
						  NULL, &token);
		if (err == 0)
			err = farbus_publish(talk->farbus, name, &token);
		if (err < 0)
			return err;
	}
	return 0;
}

/* The table is copied out of the peer's box, once. */
static int ram_import(struct talk *talk, const struct ram *ram, uint32_t ram_count)
{
	char here[64] = "", there[64] = "";
	uint32_t count = 0;
	int err = farbus_get(talk->peer, AT_COUNT, &count, sizeof(count));

	if (err == 0)
		err = farbus_get(talk->peer, AT_TABLE, talk->table, sizeof(talk->table));
	if (err == 0)
		err = farbus_get(talk->peer, AT_BOOT, there, sizeof(there) - 1);
	if (err < 0)
		return err;
	if (count > OPTIONS_RAM_MAX)
		return error_set(-EPROTO, "the other side offers %u blocks of RAM", count);
	boot_id(here);
	for (uint32_t i = 0; i < count; i++) {
		struct farbus_token token;
		char name[FARBUS_NAME_MAX];

		talk->table[i].name[RAM_NAME_MAX - 1] = '\0';
		for (uint32_t j = 0; j < ram_count; j++)
			if (ram[j].fd >= 0 && ram[j].dev == talk->table[i].dev &&
			    ram[j].ino == talk->table[i].ino && strcmp(here, there) == 0)
				return error_set(-EEXIST,
						 "RAM %s is one file on both sides: give each "
						 "QEMU its own",
						 ram[j].name);
		snprintf(name, sizeof(name), "farbus-migrate.ram.%u", i);
		err = farbus_lookup(talk->farbus, name, FARBUS_TIMEOUT_DEFAULT, &token);
		if (err == 0)
			err = farbus_region_import(talk->farbus, &token, FARBUS_TIMEOUT_DEFAULT,
						   &talk->ram[i]);
		if (err < 0)
			return err;
		talk->ram_count++;
	}
	return 0;
}

static int join(const struct options *options, struct farbus **ret_farbus)
{
	struct farbus_conf conf = { .timeout_ms = (uint32_t)options->wait_s * 1000 };

	setenv("FARBUS_JOIN", options->join, 1);
	setenv("FARBUS_RANK", options->mode == OPTIONS_DEST ? "0" : "1", 1);
	setenv("FARBUS_SIZE", "2", 1);
	if (options->secret_file)
		setenv("FARBUS_SECRET_FILE", options->secret_file, 1);
	return farbus_open(&conf, ret_farbus);
}

int talk_open(const struct options *options, const struct ram *ram, uint32_t ram_count,
	      struct talk *ret_talk)
{
	bool dest = options->mode == OPTIONS_DEST;
	struct talk *talk = ret_talk;
	int err;

	memset(talk, 0, sizeof(*talk));
	err = join(options, &talk->farbus);
	if (err == 0 && dest)
		err = ram_offer(talk, ram, ram_count);
	if (err == 0)
		err = own_open(talk, dest ? "farbus-migrate.dest" : "farbus-migrate.source");
	if (err == 0)
		err = peer_open(talk, dest ? "farbus-migrate.source" : "farbus-migrate.dest");
	if (err == 0 && !dest)
		err = ram_import(talk, ram, ram_count);
	if (err < 0)
		talk_close(talk);
	return err;
}

void talk_close(struct talk *talk)
{
	farbus_close(talk->farbus);
	talk->farbus = NULL;
}
