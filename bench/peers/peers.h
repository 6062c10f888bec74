/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * peers.h -- the same one-sided work on farbus and on other libraries
 *
 * Each program is harness.c, with the measuring code of farbus-perf, and one back-end. Rank 0 is
 * the initiator, rank 1 the target; they talk about the test itself over a side channel that no
 * library sees, so that a target can sleep outside its library and still be asked what it has in
 * memory.
 *
 * Threads: owner thread.
 */
#ifndef PEERS_PEERS_H
#define PEERS_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PEERS_LEN ((size_t)32 << 20) /* bytes of the target's memory */

/* Errors everywhere: a negative errno. put and get may be pending until flush(). */
struct peers_ops {
	/*
	 * start: joins the job of a launcher and says which rank this is. NULL, or -ENOENT there
	 * is no launcher: the harness forks.
	 * prepare: before that fork, for what a child inherits. May be NULL.
	 */
	int (*start)(int *argc, char ***argv, int *ret_rank);
	int (*prepare)(void);
	/* Makes PEERS_LEN bytes of rank 1 reachable from rank 0. */
	int (*open)(int rank);
	void *(*memory)(void); /* rank 1's bytes as rank 1 sees them; rank 0: any */
	int (*put)(uint64_t off, const void *src, size_t len);
	int (*get)(uint64_t off, void *dst, size_t len);
	int (*fadd)(uint64_t off, uint64_t value, uint64_t *ret_old);
	/* Everything is complete, puts are visible in the target's memory. */
	int (*flush)(void);
	void (*progress)(void); /* NULL: the target has nothing to do */
	/* Until there is progress to be made, or fd (-1: none) is readable; bounded. */
	void (*sleep)(int fd);
	void (*close)(int rank);
};

extern const struct peers_ops peers_backend;

/* "variant" of the command line, "" unless given: what a back-end with several modes looks at. */
extern const char *peers_variant;

/* --wait: whoever has nothing to do sleeps, in ops.sleep, instead of polling. */
extern bool peers_wait;

/* Both ranks call it together, with blobs of at most 4096 bytes: swaps them. */
int peers_exchange(const void *mine, size_t len, void *ret_theirs, size_t size, size_t *ret_len);

/* Name that both ranks of this run share and no other run does. */
const char *peers_job(void);

#endif
