/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * place.c -- the sink of QEMU's stream
 *
 * A page is read from the source's own memory when that is mapped here: QEMU clears its dirty bit
 * before it sends a page, so that what we read is what it sent, or newer and sent again. All writes
 * are flushed before the end of the last round is forwarded: QEMU reads RAM when it loads devices.
 */
#include "apps/farbus-migrate/place.h"

#include "base/error.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static int out_flush(struct place *place)
{
	size_t len = place->out_len;

	place->out_len = 0;
	return talk_send(place->talk, place->out, len);
}

static int sink_forward(void *arg, const void *data, size_t len)
{
	struct place *place = arg;
	int err;

	if (len > PLACE_OUT_SIZE - place->out_len) {
		err = out_flush(place);
		if (err < 0)
			return err;
	}
	if (len > PLACE_OUT_SIZE)
		return talk_send(place->talk, data, len);
	memcpy(place->out + place->out_len, data, len);
	place->out_len += len;
	return 0;
}

static int sink_block(void *arg, uint32_t index, const char *name, uint64_t len, bool *ret_taken)
{
	struct place *place = arg;

	place->set_of[index] = -1;
	for (uint32_t i = 0; i < place->talk->ram_count; i++) {
		const struct talk_ram *ram = &place->talk->table[i];

		if (strcmp(ram->name, name) != 0)
			continue;
		if (ram->len != len)
			return error_set(
				-ERANGE, "RAM %s has %llu bytes here, %llu at the destination",
				ram->name, (unsigned long long)len, (unsigned long long)ram->len);
		place->set_of[index] = (int32_t)i;
		*ret_taken = true;
	}
	return 0;
}

static int sink_page(void *arg, uint32_t index, uint64_t off, const uint8_t *data)
{
	struct place *place = arg;
	uint32_t set = (uint32_t)place->set_of[index];

	if (place->direct[set])
		return move_pages(place->mover, set, off, QEMU_PAGE_SIZE);
	return move_bytes(place->mover, set, off, data, QEMU_PAGE_SIZE);
}

static int sink_zero(void *arg, uint32_t index, uint64_t off)
{
	struct place *place = arg;

	return move_zero(place->mover, (uint32_t)place->set_of[index], off, QEMU_PAGE_SIZE);
}

static int sink_round(void *arg, bool final)
{
	struct place *place = arg;

	return final ? move_flush(place->mover, FARBUS_TIMEOUT_DEFAULT) : 0;
}

static int sink_untaken(void *arg, const char *why)
{
	(void)arg;
	fprintf(stderr, "farbus-migrate: %s: the guest's RAM goes through the stream\n", why);
	return 0;
}

static const struct qemu_sink_ops sink_ops = { sink_forward, sink_block, sink_page,
					       sink_zero,    sink_round, sink_untaken };

int place_input(struct place *place, const uint8_t *data, size_t len)
{
	int err = qemu_stream_input(place->stream, data, len);
	/* What is refused is refused for the reason that was found, not for what follows from it. */
	return err < 0 ? err : out_flush(place);
}

/* The source's memory, or address space of that size that nobody reads. */
static int local_map(struct place *place, uint32_t set, const struct ram *ram, bool placed)
{
	uint64_t len = place->talk->table[set].len;
	bool direct = ram && ram->fd >= 0 && ram->len == len && !placed;
	void *va = mmap(NULL, len, direct ? PROT_READ : PROT_NONE,
			direct ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			direct ? ram->fd : -1, 0);

	if (va == MAP_FAILED)
		return error_set(-ENOMEM, "RAM %s: cannot be mapped: %s",
				 place->talk->table[set].name, strerror(errno));
	place->local[set] = va;
	place->local_len[set] = len;
	place->direct[set] = direct;
	return 0;
}

static const struct ram *ram_named(const struct ram *ram, uint32_t count, const char *name)
{
	for (uint32_t i = 0; i < count; i++)
		if (strcmp(ram[i].name, name) == 0)
			return &ram[i];
	return NULL;
}

int place_open(struct talk *talk, const struct ram *ram, uint32_t ram_count, bool placed,
	       struct place *ret_place)
{
	struct move_set set[OPTIONS_RAM_MAX];
	struct place *place = ret_place;
	int err = 0;

	memset(place, 0, sizeof(*place));
	place->talk = talk;
	for (uint32_t i = 0; i < talk->ram_count && err == 0; i++) {
		err = local_map(place, i, ram_named(ram, ram_count, talk->table[i].name), placed);
		set[i] = (struct move_set){ place->local[i], talk->table[i].len, talk->ram[i],
					    talk->table[i].zero != 0 };
	}
	if (err == 0)
		err = move_open(talk->farbus, set, talk->ram_count, &place->mover);
	if (err == 0)
		err = qemu_stream_new(&sink_ops, place, &place->stream);
	return err;
}

void place_close(struct place *place)
{
	place->stream = qemu_stream_free(place->stream);
	if (place->mover)
		place->mover = move_close(place->mover);
	for (uint32_t i = 0; i < OPTIONS_RAM_MAX; i++)
		if (place->local[i])
			munmap(place->local[i], place->local_len[i]);
}
