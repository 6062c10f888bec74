/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conform.h -- the conformance suite's stage: properties played by several processes
 *
 * A property is played once per access class by a fresh set of processes, one per rank, forked
 * before any of them opens farbus. They meet in a block of shared memory, the stage, which does
 * not depend on what is under test. The parent never opens farbus: it stops, kills and watches.
 *
 * After its part each rank closes its instance and is searched for what must not be left behind:
 * descriptors and mappings. A rank that is to die says by which signal (stage->end).
 *
 * The transport comes from FARBUS_TRANSPORT, the class from the command line:
 *     conform_access mapped|served|fabric [WORD]     only properties whose name contains WORD
 * With shm alone the ranks find each other by the job's name. Over a network the stage chooses a
 * free port of loopback for each job, where they meet (FARBUS_JOIN). A list such as "shm,ofi" is a
 * mixed job: ranks of the same parity are on one host (FARBUS_NODE), the others are reached over
 * the network, with the class of the command line; only properties of three or more ranks are
 * played, since two would be alone on their hosts.
 */
#ifndef TESTS_CONFORMANCE_CONFORM_H
#define TESTS_CONFORMANCE_CONFORM_H

#include <farbus/farbus.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define CONFORM_RANK_MAX 64
#define CONFORM_STEP_MAX 64
#define CONFORM_SLOT_MAX 64
#define CONFORM_WORD_MAX 64
#define CONFORM_WAIT_MS 30000	 /* bound of every wait here; nothing should come near it */
#define CONFORM_MEMORY (1 << 20) /* bytes of stage->memory */
#define CONFORM_JOB_MAX 4	 /* jobs of a property: its own, and others */

/* Fabric: a network's device carries out what it can, the home the rest; nothing is mapped. */
enum conform_class { CONFORM_MAPPED = 1, CONFORM_SERVED = 2, CONFORM_FABRIC = 4, CONFORM_ALL = 7 };
#define CONFORM_MIXED 8u /* among a property's classes: in mixed jobs, and only there */

struct stage {
	char job[64];
	enum conform_class class; /* through the only transport, or through the network */
	bool network, mixed;
	uint16_t port[CONFORM_JOB_MAX]; /* 0: no network */
	int port_fd[CONFORM_JOB_MAX];	/* keep them for us */
	uint32_t size;
	int arg; /* of the property */
	_Atomic uint32_t failed;
	_Atomic uint32_t step[CONFORM_STEP_MAX];
	_Atomic int pid[CONFORM_RANK_MAX];
	_Atomic int end[CONFORM_RANK_MAX]; /* signal that is to end it; 0: exit code 0 */
	_Atomic uint64_t word[CONFORM_WORD_MAX];
	struct farbus_token token[CONFORM_SLOT_MAX];
	int memory_fd; /* a memfd, for regions that the parent can look into */
	uint8_t *memory;
};

struct rank {
	struct stage *stage;
	struct farbus *farbus;
	uint32_t rank;
};

struct property {
	const char *name;
	unsigned int classes;
	uint32_t size;
	void (*rank)(struct rank *rank);
	void (*control)(struct stage *stage); /* runs in the parent; may be NULL */
	int arg;
	uint32_t timeout_ms; /* conf.timeout_ms of every rank; 0: CONFORM_WAIT_MS */
};

/* Plays them; returns main()'s result. */
int conform_main(int argc, char **argv, const struct property *property, size_t count);

/* ---- in ranks and in control ---- */

void conform_fail(const char *file, int line, const char *format, ...)
	__attribute__((noreturn, format(printf, 3, 4)));
#define CHECK(x)                                                                              \
	do {                                                                                  \
		if (!(x))                                                                     \
			conform_fail(__FILE__, __LINE__, "%s (%s)", #x, farbus_last_error()); \
	} while (0)
/* The call succeeds. */
#define MUST(call) conform_must(__FILE__, __LINE__, #call, call)
/* The call fails with that errno, and the error text has that word. */
#define REFUSED(call, number, word) \
	conform_refused(__FILE__, __LINE__, #call, call, number, #number, word)
void conform_must(const char *file, int line, const char *text, int err);
void conform_refused(const char *file, int line, const char *text, int err, int number,
		     const char *number_text, const char *word);

/* Counts a step up; waits until it was counted up to count. */
void step_reach(struct stage *stage, unsigned int step);
void step_wait(struct stage *stage, unsigned int step, uint32_t count);
/* All ranks of the property. Each step number once only. */
void step_meet(struct rank *rank, unsigned int step);

uint64_t word_get(struct stage *stage, unsigned int word);
void word_set(struct stage *stage, unsigned int word, uint64_t value);

/* ---- in ranks ---- */

/* Opens an instance as that rank of the property's job. */
int rank_open(struct stage *stage, uint32_t rank, uint32_t timeout_ms, struct farbus **ret_farbus);
/* Of another job: those that are open at a time differ in number, 1 to CONFORM_JOB_MAX - 1. */
int job_open(struct stage *stage, unsigned int number, const struct farbus_conf *conf,
	     struct farbus **ret_farbus);
/* How a rank reaches memory of the home that is granted with rank_grant(). */
enum conform_class rank_class(const struct stage *stage, uint32_t rank, uint32_t home);
/* Of a grant of the property's class. */
uint32_t grant_flags(const struct stage *stage);
struct farbus_region *rank_alloc(struct rank *rank, size_t len, uint32_t flags);
/* A region over stage->memory. */
struct farbus_region *rank_adopt_memory(struct rank *rank);
uint8_t *region_va(struct farbus_region *region);
uint64_t region_id(struct farbus_region *region);
/* Of the property's access class; the token goes to a slot of the stage. */
void rank_grant(struct rank *rank, struct farbus_region *region, uint64_t off, uint64_t len,
		uint32_t rights, unsigned int slot);
struct farbus_region *rank_import(struct rank *rank, unsigned int slot);
/* Waits for an event of that kind about that rank, and passes over others. */
void rank_event(struct rank *rank, uint32_t kind, uint32_t about, struct farbus_event *ret_event);
/* No event is pending. */
void rank_no_event(struct rank *rank);

/*
 * Looks at memory that others write: a remote put is carried out by a thread that the C memory
 * model, and so TSAN, knows nothing of.
 */
uint64_t peek64(const void *p);
/* The same for a store into a window, whose pages may be replaced at any time. */
void poke64(void *p, uint64_t value);
void pattern_fill(uint8_t *p, size_t len, uint8_t seed);
/* Offset of the first byte that differs, or len. */
size_t pattern_diff(const uint8_t *p, size_t len, uint8_t seed);

/* ---- docs/transports.md (table.c) ---- */

/* Which operations are one-sided, as the table there says. The table must have that row. */
struct table_row {
	bool put, get, atomic, signal;
};
void table_row(const char *transport, enum conform_class class, struct table_row *ret_row);
/* Each row is one that this suite is played for, or that this build leaves out. */
void table_check(void);

/* ---- where ranks are and meet (place.c) ---- */

/* FARBUS_TRANSPORT is a list of shm and a network. */
bool transport_is_mixed(void);
const char *class_name(enum conform_class class);
/* In the parent, before it forks. */
void place_init(struct stage *stage);
void place_fini(struct stage *stage);
/* In a rank, before it opens an instance: which host it is on, where that job's ranks meet. */
void place_enter(const struct stage *stage, unsigned int job, uint32_t rank);
/* Somebody listens on this port of loopback. */
bool port_listening(uint16_t port);

/* ---- in control ---- */

/* Returns when all its threads are stopped. */
void control_stop(struct stage *stage, uint32_t rank);
void control_continue(struct stage *stage, uint32_t rank);
/* Kills it, and returns when it is gone. */
void control_kill(struct stage *stage, uint32_t rank);

#endif
