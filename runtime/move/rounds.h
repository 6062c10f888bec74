/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rounds.h -- pre-copy rounds: when to stop the VM
 *
 * After each round the caller says what it sent, how long that took, and how many pages are dirty
 * now; this says what next. No clock: time is what it is told.
 */
#ifndef RUNTIME_MOVE_ROUNDS_H
#define RUNTIME_MOVE_ROUNDS_H

#include <stdint.h>

enum rounds_next {
	ROUNDS_AGAIN = 1, /* send what is dirty, with the VM running */
	ROUNDS_STOP = 2,  /* stop it: the rest fits into the permitted time */
	ROUNDS_STUCK = 3, /* more rounds bring nothing: it writes faster than we send */
};

struct rounds {
	uint64_t downtime_ns; /* permitted */
	uint64_t fixed_ns;    /* of a stop, besides pages: state, switch-over */
	uint32_t round_max;
	uint32_t round; /* that ended */
	uint32_t flat;	/* in a row that left no fewer pages than before */
	uint64_t dirty_last;
	uint64_t rate;	       /* pages per second, smoothed; 0: not known yet */
	uint64_t predicted_ns; /* how long a stop would take now */
};

void rounds_init(struct rounds *rounds, uint64_t downtime_ns, uint64_t fixed_ns,
		 uint32_t round_max);

/* A round ended that sent so many pages in so long, and dirty are there now. */
enum rounds_next rounds_end(struct rounds *rounds, uint64_t sent, uint64_t ns, uint64_t dirty);

/* How long to wait, ns, after so many bytes in so long, to keep to bytes per second (0: no cap). */
uint64_t rounds_pause(uint64_t bytes, uint64_t ns, uint64_t cap);

#endif
