/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * talk.h -- what the two ends of a move say to each other: a stream of bytes each way, and words
 *
 * Both ends are the two ranks of a farbus job; each has a box that the other writes one-sided, so
 * this works over every transport, and both ends have proven the job's secret.
 *
 * Threads: one thread sends, one receives; say, hear and alive from any thread, one at a time each.
 */
#ifndef APPS_FARBUS_MIGRATE_TALK_H
#define APPS_FARBUS_MIGRATE_TALK_H

#include "apps/farbus-migrate/options.h"
#include "apps/farbus-migrate/ram.h"
#include <farbus/farbus.h>

#define TALK_RING_SIZE (1u << 20) /* bytes of a stream under way */

/* In the order in which they can be said. */
enum talk_word {
	TALK_NOTHING = 0,
	TALK_READY = 1,		/* dest: QEMU waits for the stream */
	TALK_COMMIT_RUN = 2,	/* source: it is yours, and was running */
	TALK_COMMIT_PAUSED = 3, /* source: it is yours, and was paused */
	TALK_RUNNING = 4,	/* dest: it is here */
	TALK_FAILED = 5,	/* whoever: nothing was moved */
};

struct talk_ram {
	char name[RAM_NAME_MAX];
	uint64_t len, dev, ino;
	uint64_t zero;
};

struct talk {
	struct farbus *farbus;
	struct farbus_region *own, *peer;
	struct farbus_region *ram[OPTIONS_RAM_MAX]; /* dest: adopted; source: imported */
	struct talk_ram table[OPTIONS_RAM_MAX];	    /* what dest offers */
	uint32_t ram_count;
	uint8_t *box; /* own's memory */
	uint64_t sent, received;
	bool eof;   /* all was sent */
	int broken; /* atomic: why nothing more can be said, or 0 */
};

/* Joins the other side, which has to come within options->wait_s. ram: of dest, shared: offered. */
int talk_open(const struct options *options, const struct ram *ram, uint32_t ram_count,
	      struct talk *ret_talk);
void talk_close(struct talk *talk);

/* All of data. Errors: -EHOSTDOWN, -ECANCELED talk_break(). */
int talk_send(struct talk *talk, const void *data, size_t len);
/* No more will be sent. */
int talk_send_end(struct talk *talk);
/* Up to max bytes; *ret_len 0: the end. Errors: as send. */
int talk_receive(struct talk *talk, void *data, size_t max, size_t *ret_len);

int talk_say(struct talk *talk, enum talk_word word);
/* Waits for a word above last. Errors: -ETIMEDOUT, -EHOSTDOWN, -EPROTO. */
int talk_hear(struct talk *talk, enum talk_word last, int timeout_ms, enum talk_word *ret_word);

/* Errors: -EHOSTDOWN the other side is gone. */
int talk_alive(struct talk *talk);
/* Ends every wait of this end. */
void talk_break(struct talk *talk, int why);

#endif
