/* SPDX-License-Identifier: BSD-3-Clause */
/* move_common.h -- two instances in one process, and memory of one that has a place in the other */
#ifndef TESTS_UNIT_MOVE_COMMON_H
#define TESTS_UNIT_MOVE_COMMON_H

#include "runtime/move/move.h"

#include <pthread.h>
#include <stddef.h>

#define SCENE_PAGES 64
#define SCENE_PAGE 4096
#define SCENE_WAIT_MS 20000
#define SCENE_SHORT_MS 150 /* for what has to time out */

enum { SRC, DST };

struct scene {
	struct farbus *farbus[2];
	struct farbus_region *region[2]; /* SCENE_PAGES each, of their own instance */
	uint8_t *memory[2];
	struct farbus_region *remote; /* SRC's import of DST's */
	struct mail *mail[2];
	struct commit commit[2];
	struct move_state state;
	pthread_t thread;
	int status;   /* what loading gives */
	int dest_err; /* what the destination's thread ended with */
};

/* memory and remote; with mail also two connected mailboxes. */
void scene_open(struct scene *scene, const char *job);
void scene_mail(struct scene *scene, const char *name);
void scene_close(struct scene *scene);

/* Takes what comes until it can load, or the attempt has ended. */
int scene_dest_prepare(struct scene *scene);
/* The whole destination, in a thread. */
void scene_dest_start(struct scene *scene);
void scene_dest_join(struct scene *scene);

#endif
