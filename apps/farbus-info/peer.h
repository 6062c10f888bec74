/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * peer.h -- asks live instances about themselves
 *
 * A name is only a claim: whoever answers is, by the kernel's word, a process of this user (or,
 * for root, of anybody) with the pid of the name, or its answer is not read.
 */
#ifndef APPS_FARBUS_INFO_PEER_H
#define APPS_FARBUS_INFO_PEER_H

#include "apps/common/live.h"
#include <jansson.h>

#define PEER_ANSWER_MAX ((size_t)64 << 20) /* bytes of a document */
#define PEER_BATCH_MAX 256		   /* asked at the same time */
#define PEER_TIMEOUT_MS 1500
#define PEER_WHY_SIZE 200

struct peer {
	struct live name;
	int status;	  /* 0, -ETIMEDOUT, -EPROTO, -EHOSTDOWN ended, -EACCES not ours, -EIO */
	json_t *document; /* owned; NULL unless status is 0 */
	char why[PEER_WHY_SIZE];
};

/*
 * Asks all of them, PEER_BATCH_MAX at a time, each batch for at most PEER_TIMEOUT_MS. What each
 * of them gave is in it. Errors: -ENOMEM.
 */
int peers_ask(struct peer *peers, size_t count);

void peers_free(struct peer *peers, size_t count);

/* An answer, checked by document_check(). Errors: -EPROTO. Ownership: the caller owns *ret. */
int peer_answer_parse(const char *text, size_t len, json_t **ret_document);

#endif
