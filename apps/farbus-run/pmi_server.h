/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pmi_server.h -- the launcher's side of PMI-1, without any I/O
 *
 * Bytes from ranks go in, answers come out of a callback. Ranks are not trusted: every line, key,
 * value and state is bounded and checked.
 * Threads: owner thread.
 */
#ifndef APPS_FARBUS_RUN_PMI_SERVER_H
#define APPS_FARBUS_RUN_PMI_SERVER_H

#include <stddef.h>
#include <stdint.h>

struct pmi_server;

struct pmi_server_ops {
	/* A whole line for a rank. The callee must not call the server. */
	void (*send)(void *arg, uint32_t rank, const char *line, size_t len);
	/* A rank asks to end the job. */
	void (*abort)(void *arg, uint32_t rank, int code);
	/* A fence can never end: that many ranks wait in it and this one will not come any more. */
	void (*stuck)(void *arg, uint32_t gone, uint32_t waiting);
};

/* ops and arg are borrowed until pmi_server_free(). Errors: -ENOMEM. */
int pmi_server_new(uint32_t size, const struct pmi_server_ops *ops, void *arg,
		   struct pmi_server **ret_server);
void pmi_server_free(struct pmi_server *server);

/*
 * Any number of bytes, whole lines or not. Errors: -EPROTO the rank broke the protocol (text in
 * error_text()); it counts as gone, its channel must be closed, and the job
 * ended: ranks in a fence may wait for it.
 */
int pmi_server_input(struct pmi_server *server, uint32_t rank, const char *data, size_t len);
/* The rank has ended or closed its channel. Any number of times. */
void pmi_server_gone(struct pmi_server *server, uint32_t rank);
/* Answers those who wait in a fence that can never end, with an error. */
void pmi_server_release(struct pmi_server *server);

#endif
