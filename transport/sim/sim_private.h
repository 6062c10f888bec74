/* SPDX-License-Identifier: BSD-3-Clause */
/* sim_private.h -- what sim.c (nodes, links, time) and lossy.c (packets) share */
#ifndef TRANSPORT_SIM_SIM_PRIVATE_H
#define TRANSPORT_SIM_SIM_PRIVATE_H

#include "transport/sim/arq.h"
#include "transport/sim/queue.h"

enum end_state { END_NONE, END_UP, END_DONE };

struct sim_link {
	uint32_t node[2]; /* 0 connected, 1 accepted */
	enum end_state end[2];
	bool going[2];	     /* a SIM_DOWN for this end is under way */
	uint64_t last[2];    /* time of the last event for this end */
	struct lossy *lossy; /* owned; NULL: nothing is lost on it */
};

struct sim_node {
	bool dead, stopped;
	uint32_t side;		/* of a partition: others are out of reach */
	uint64_t messages_left; /* 0: lives on */
	uint64_t refuse;
	uint64_t timer_version;
	struct sim_item *held, **held_end; /* in order */
};

struct sim {
	uint64_t random, now, serial, digest;
	uint64_t delay_min, delay_max;
	struct sim_queue queue;
	struct sim_node *node; /* owned */
	uint32_t node_count;
	struct sim_link *link; /* owned */
	uint32_t link_count, link_size;
	bool lossy; /* links from now on are */
	struct sim_faults faults;
	struct sim_losses losses;
	struct sim_item *current; /* owned: what the last event's data points into */
};

uint64_t sim_random(struct sim *sim);
/* Of one packet or connection. */
uint64_t sim_delay(struct sim *sim);
/* Now, or after all that this end is still to get from the link. Takes item. */
void sim_deliver(struct sim *sim, struct sim_item *item, int end);
/* SIM_DOWN without a packet that could be lost. */
void sim_link_end(struct sim *sim, uint32_t link, int end, int status);

/* ---- lossy.c ---- */
/* Errors: -ENOMEM. */
int lossy_new(struct sim *sim, struct sim_link *link);
void lossy_free(struct sim_link *link);
/* To this end of the link, in order, whatever is lost. Takes item. */
void lossy_send(struct sim *sim, uint32_t link, int end, struct sim_item *item);
/* A packet arrives, or a repetition is due. */
void lossy_run(struct sim *sim, const struct sim_item *item);
bool lossy_apart(const struct sim *sim, const struct sim_link *link);

#endif
