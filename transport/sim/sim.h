/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sim.h -- a network in one thread: nodes, links, virtual time, everything from one seed
 *
 * The caller drives: it takes the next event with sim_step(), gives it to the node it is for,
 * and sends what that node wants sent. The same seed and the same calls give the same run.
 *
 * What links promise is what transports promise: messages of a link arrive in order, unchanged,
 * once; what was sent before a close or a death still arrives, then comes SIM_DOWN. Everything
 * else is random: delays, and with them the order of events of different links.
 *
 * Faults: a node dies at its n-th message, is stopped and goes on, refuses connections. With
 * sim_faults_set() the packets under the links are lost, doubled and come in any order, and nodes
 * can be cut off: links repeat what is lost (arq.h), as TCP does, and end when that is in vain for 20
 * s. Only then can it be that what was sent did not arrive, or arrived and nobody knows.
 *
 * It does not look into messages. Descriptors are numbers that are passed on.
 *
 * Threads: one thread at a time.
 */
#ifndef TRANSPORT_SIM_SIM_H
#define TRANSPORT_SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_NODE_MAX 1024
#define SIM_LINK_MAX (1u << 20) /* over the whole run: numbers are not used twice */

struct sim;

enum sim_kind {
	SIM_UP = 1,  /* accepted: somebody connected; else an own sim_connect() has succeeded */
	SIM_DOWN,    /* -ECONNREFUSED, -ECONNRESET closed, -EHOSTDOWN died; the last of its link */
	SIM_DELIVER, /* data, len, fd */
	SIM_TIMER,
	SIM_DIED, /* node has just died: what it had asked for since is not done */
};

struct sim_event {
	enum sim_kind kind;
	uint32_t node; /* whose event it is */
	uint32_t peer; /* the other end of link */
	uint32_t link;
	bool accepted;
	int status;
	const void *data; /* valid until the next sim_step() */
	size_t len;
	int fd; /* -1: none */
};

/* Errors: -EINVAL no node or more than SIM_NODE_MAX, -ENOMEM. */
int sim_new(uint64_t seed, uint32_t nodes, struct sim **ret_sim);
struct sim *sim_free(struct sim *sim);

/* Of every message and connection, from min to max; one in 32 takes up to 20 times as long. */
void sim_delay_set(struct sim *sim, uint64_t min_ns, uint64_t max_ns);

uint64_t sim_now(const struct sim *sim); /* starts at 1 s */

/* Advances to the next event. Errors: -EAGAIN there is none. */
int sim_step(struct sim *sim, struct sim_event *ret_event);

/*
 * A link with a number of its own, the same at both ends; SIM_UP or SIM_DOWN follows.
 * Errors: -EHOSTDOWN node is dead, -EINVAL to itself, -ENOSPC, -ENOMEM.
 */
int sim_connect(struct sim *sim, uint32_t node, uint32_t to, uint32_t *ret_link);
/*
 * Errors: -EHOSTDOWN no such link any more (or yet), or node died of this call; -EMSGSIZE,
 * -ENOMEM.
 */
int sim_send(struct sim *sim, uint32_t node, uint32_t link, const void *data, size_t len, int fd);
/* The other end gets what was sent, then SIM_DOWN; this end nothing more. */
void sim_close(struct sim *sim, uint32_t node, uint32_t link);
/* One timer each; a new one replaces the old, UINT64_MAX ends it. Not before now. */
int sim_timer(struct sim *sim, uint32_t node, uint64_t when_ns);

/* Dies now; no SIM_DIED. Others get SIM_DOWN. */
void sim_kill(struct sim *sim, uint32_t node);
/* Dies instead of sending or getting its n-th message from now (1: the next); 0: does not. */
void sim_kill_at(struct sim *sim, uint32_t node, uint64_t n);
/* Gets nothing, timers included, until sim_continue(); is not dead. */
void sim_stop(struct sim *sim, uint32_t node);
void sim_continue(struct sim *sim, uint32_t node);
/* Refuses the next n connections to it. */
void sim_refuse(struct sim *sim, uint32_t node, uint64_t n);

struct sim_faults {
	uint32_t loss_ppm, double_ppm; /* of a million packets */
};
/* For links that are made from now on. */
void sim_faults_set(struct sim *sim, const struct sim_faults *faults);
/* Partition: packets go only between nodes of one side (0 at first). Needs sim_faults_set(). */
void sim_side_set(struct sim *sim, uint32_t node, uint32_t side);
struct sim_losses {
	uint64_t packets, lost, doubled, repeated, given_up;
};
void sim_losses(const struct sim *sim, struct sim_losses *ret_losses);

bool sim_alive(const struct sim *sim, uint32_t node);
/* Of all events so far: two runs were the same if this is. */
uint64_t sim_digest(const struct sim *sim);

#endif
