/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * transport.h -- what a backend gives to the runtime
 *
 * A backend carries control messages between instances (links: reliable, ordered, bounded size),
 * provides region memory, and says for each path which operations are one-sided.
 * It never interprets a message. Authentication of the peer is done above, by messages.
 *
 * Threads: all calls on one struct transport: one thread at a time (the runtime's lock), but for
 * the copy and atomic loops, which any thread may use.
 */
#ifndef TRANSPORT_TRANSPORT_H
#define TRANSPORT_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TRANSPORT_MESSAGE_MAX 8192
#define TRANSPORT_LOCATOR_MAX 96

struct transport;
struct transport_link; /* the head is the backend's; user is ours */

enum transport_event_kind {
	TRANSPORT_LINK_UP = 1, /* accepted (accepted = true), or a connect that succeeded */
	TRANSPORT_LINK_DOWN,   /* status says why; the link is freed by link_close() */
	TRANSPORT_MESSAGE,     /* data, len, fd (-1: none; the receiver owns it) */
	TRANSPORT_WRITABLE,    /* room again after -EAGAIN */
};

struct transport_event {
	enum transport_event_kind kind;
	struct transport_link *link;
	int status;
	bool accepted;
	pid_t pid; /* of the peer as the kernel says, LINK_UP only; 0 unknown */
	uid_t uid;
	const void *data; /* valid until the next poll() */
	size_t len;
	int fd;
};

#define TRANSPORT_MEMORY_HUGE 0x1u

/* Region memory: a descriptor that can be handed over, mapped at va. */
struct transport_memory {
	int fd;
	void *va;
	size_t len;	  /* whole pages */
	size_t page_size; /* as got */
};

struct transport_ops {
	const char *name;

	/* 0, or a negative errno and a line that says what is missing (farbus-info prints it). */
	int (*probe)(char *ret_reason, size_t size);

	/* Listens at locator. Errors: -EEXIST somebody listens there, -EMFILE, -ENOMEM. */
	int (*open)(const char *locator, struct transport **ret_transport);
	void (*close)(struct transport *transport);
	int (*fd)(struct transport *transport); /* readable when poll() has something */

	/* Starts connecting; LINK_UP or LINK_DOWN follows. Errors: -ECONNREFUSED nobody there. */
	int (*connect)(struct transport *transport, const char *locator,
		       struct transport_link **ret_link);
	/*
	 * Queues one message of at most TRANSPORT_MESSAGE_MAX bytes; fd >= 0 goes with it (dup'd).
	 * All or nothing, in order. Errors: -EAGAIN no room now (WRITABLE follows), -EHOSTDOWN,
	 * -EMSGSIZE.
	 */
	int (*send)(struct transport_link *link, const void *data, size_t len, int fd);
	/* One event. Errors: -EAGAIN nothing. Never blocks. */
	int (*poll)(struct transport *transport, struct transport_event *ret_event);
	/*
	 * Before the service thread sleeps on fd(): tells every peer to ring. False: something came
	 * in meanwhile, poll again.
	 */
	bool (*park)(struct transport *transport);
	/* What was sent stays readable for the peer. */
	void (*link_close)(struct transport_link *link);
	void (*link_user_set)(struct transport_link *link, void *user);
	void *(*link_user)(const struct transport_link *link);

	/* Zeroed, allocated in full now. Errors: -ENOMEM, -EMFILE. */
	int (*memory_alloc)(size_t len, uint32_t flags, struct transport_memory *ret_memory);
	void (*memory_free)(struct transport_memory *memory);
};

/* All that were built, in order of preference; ends with NULL. */
extern const struct transport_ops *const transport_backends[];
const struct transport_ops *transport_find(const char *name);

#endif
