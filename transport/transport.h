/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * transport.h -- what a backend gives to the runtime
 *
 * A backend carries control messages between instances (links: reliable, ordered, bounded size).
 * One on the same host also provides region memory that others can map; one over a device that
 * reaches memory by itself provides one-sided access. It says for each path which operations
 * complete without the target's CPU, and never interprets a message. Authentication of the peer
 * is done above, by messages.
 *
 * Libraries of a backend (libfabric, UCX, libibverbs) are loaded when it is first opened, so that
 * a program that does not use it neither needs nor waits for them.
 *
 * Threads: all calls on one struct transport: one thread at a time (the runtime's lock), but for
 * the copy and atomic loops, which any thread may use. No call blocks, but for what open() and
 * memory_expose() say.
 */
#ifndef TRANSPORT_TRANSPORT_H
#define TRANSPORT_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TRANSPORT_MESSAGE_MAX (65536 + 1024) /* of any backend; each says its own */
#define TRANSPORT_LOCATOR_MAX 96
#define TRANSPORT_KEY_MAX 64

/* A backend defines these two as it likes, each in its own folder. */
struct transport;
struct transport_link;

enum transport_event_kind {
	TRANSPORT_LINK_UP = 1, /* accepted (accepted = true), or a connect that succeeded */
	TRANSPORT_LINK_DOWN,   /* status says why; the link is freed by link_close() */
	TRANSPORT_MESSAGE,     /* data, len, fd (-1: none; the receiver owns it) */
	TRANSPORT_WRITABLE,    /* room again after -EAGAIN */
	TRANSPORT_COMPLETE,    /* a one-sided operation: cookie, status */
	TRANSPORT_LINK_GONE,   /* after link_linger(): nobody has the other end any more */
};

struct transport_event {
	enum transport_event_kind kind;
	struct transport_link *link;
	int status;
	bool accepted;
	pid_t pid;	  /* of the peer as the kernel says, LINK_UP only; 0 unknown */
	uid_t uid;	  /* (uid_t)-1: unknown, or on another host */
	const void *data; /* valid until the next poll(); 8-byte aligned */
	size_t len;
	int fd;
	uint64_t cookie;
	/* MESSAGE: bytes of it that went to where place() said; data and len are what is before. */
	size_t placed;
	bool lost; /* place() took the place back while they came: not all of them are there */
};

/*
 * Where a long message is to be received: what is in it from skip on goes to [to, ...).
 * head: its first bytes, TRANSPORT_HEAD_MIN of them at least; len: its length. Asked before each
 * part that is received, and nothing else is written there, so that a place that is refused from
 * some moment on is not touched after it. False: nowhere; it is received as any other is, or, if
 * a part is there already, thrown away.
 */
#define TRANSPORT_HEAD_MIN 64

struct transport_place {
	void *to;
	size_t skip; /* <= TRANSPORT_HEAD_MIN */
};

typedef bool (*transport_place_fn)(void *arg, struct transport_link *link, const void *head,
				   size_t len, struct transport_place *ret_place);

#define TRANSPORT_MEMORY_HUGE 0x1u

/* Region memory: a descriptor that can be handed over, mapped at va. */
struct transport_memory {
	int fd;
	void *va;
	size_t len;	  /* whole pages */
	size_t page_size; /* as got */
};

/* What a peer needs to reach exposed memory; goes through the control messages. */
struct transport_key {
	uint32_t len;
	uint8_t data[TRANSPORT_KEY_MAX];
};

#define TRANSPORT_PUT 0x1u
#define TRANSPORT_GET 0x2u
#define TRANSPORT_ATOMIC 0x4u

struct transport_exposure; /* home: memory that peers can reach */
struct transport_remote;   /* importer: such memory of a peer */

enum transport_atomic { TRANSPORT_FETCH_ADD = 1, TRANSPORT_COMPARE_SWAP }; /* 8 bytes */

struct transport_ops {
	const char *name;
	size_t message_max; /* bytes of a message; <= TRANSPORT_MESSAGE_MAX */
	bool same_host;	    /* descriptors go with messages, so region memory can be mapped */

	/* 0, or a negative errno and a line that says what is missing (farbus-info prints it). */
	int (*probe)(char *ret_reason, size_t size);

	/*
	 * Listens. Where: same_host: at this name. Others: on this address or interface of ours
	 * ("" chooses one), a port of their own choice unless "address:port" is given. May take
	 * the time that loading a library takes. Errors: -EEXIST somebody listens there,
	 * -EMFILE, -ENOMEM, -ENOSYS the library or a device is missing (the text names it),
	 * -EINVAL no such address.
	 */
	int (*open)(const char *where, struct transport **ret_transport);
	void (*close)(struct transport *transport);
	/* What a peer gives to connect(). */
	void (*locator)(const struct transport *transport, char ret_locator[TRANSPORT_LOCATOR_MAX]);
	int (*fd)(struct transport *transport); /* readable when poll() has something */

	/*
	 * Starts connecting; LINK_UP or LINK_DOWN follows, within a bound of the backend's own.
	 * Errors: -ECONNREFUSED nobody there, -EINVAL not a locator.
	 */
	int (*connect)(struct transport *transport, const char *locator,
		       struct transport_link **ret_link);
	/*
	 * Queues one message; data can be reused afterwards. fd >= 0 goes with it (dup'd;
	 * same_host only). All or nothing, in order. Errors: -EAGAIN no room now (WRITABLE
	 * follows), -EHOSTDOWN, -EMSGSIZE.
	 */
	int (*send)(struct transport_link *link, const void *data, size_t len, int fd);
	/*
	 * The same for a message in two parts, without a descriptor; NULL in backends that gain
	 * nothing by it.
	 */
	int (*sendv)(struct transport_link *link, const void *head, size_t head_len,
		     const void *tail, size_t tail_len);
	/*
	 * From begin to end, between which nothing but send() and sendv() is called, short messages
	 * may be kept back; end sends them. NULL in backends that gain nothing by it.
	 */
	void (*batch)(struct transport *transport, bool begin);
	/* From now on place is asked about long messages; NULL in backends that cannot. */
	void (*place_set)(struct transport *transport, transport_place_fn place, void *arg);
	/* One event. Errors: -EAGAIN nothing. Never blocks. */
	int (*poll)(struct transport *transport, struct transport_event *ret_event);
	/*
	 * Before a thread sleeps on fd(): whatever comes from now on makes it readable, but the end
	 * of an operation that starts later need not: who waits for that parks again, or polls.
	 * False: something came in meanwhile, poll again.
	 */
	bool (*park)(struct transport *transport);
	/*
	 * What was sent stays readable for the peer. One-sided operations that are under way complete
	 * with -EHOSTDOWN, before LINK_DOWN is told, or after this call; remotes stay to be closed. A peer that dies, or whose host does not answer
	 * any more, must bring LINK_DOWN in bounded time; one that is only stopped must not.
	 */
	void (*link_close)(struct transport_link *link);
	/*
	 * Same host; NULL in others. Ends it as link_close() does, which is still to be called. True:
	 * LINK_GONE follows once the other end was closed or its process has ended. False: that
	 * is so already.
	 */
	bool (*link_linger)(struct transport_link *link);
	void (*link_user_set)(struct transport_link *link, void *user);
	void *(*link_user)(const struct transport_link *link);

	/* Same host; NULL in others. Zeroed, allocated in full now. Errors: -ENOMEM, -EMFILE. */
	int (*memory_alloc)(size_t len, uint32_t flags, struct transport_memory *ret_memory);
	void (*memory_free)(struct transport_memory *memory);

	/*
	 * One-sided access by a device; all NULL in backends that have none.
	 *
	 * Home: makes [va, va + len) reachable for whoever has the key, with these
	 * TRANSPORT_ operations. May pin the memory. Errors: -ENOMEM, -ENOSPC a limit of the device
	 * or RLIMIT_MEMLOCK (the text names which), -ENOTSUP.
	 */
	int (*memory_expose)(struct transport *transport, void *va, size_t len, uint32_t access,
			     struct transport_exposure **ret_exposure,
			     struct transport_key *ret_key);
	/* After it returns nothing lands through the key any more. */
	void (*memory_hide)(struct transport_exposure *exposure);

	/* Importer. Errors: -EINVAL not a key of this backend, -ENOMEM. */
	int (*remote_open)(struct transport_link *link, const struct transport_key *key, size_t len,
			   struct transport_remote **ret_remote);
	/* What is under way on it completes as it would have. */
	void (*remote_close)(struct transport_remote *remote);
	/* TRANSPORT_ operations that complete without the target's CPU on this path. */
	uint32_t (*remote_onesided)(const struct transport_remote *remote);
	/*
	 * Start one operation; COMPLETE with this cookie follows, unless an error is returned.
	 * src and dst stay in use until then. A put is complete when the target's CPU can see it.
	 * Operations on one link are carried out in order, but for what a get or atomic reads.
	 * One of no bytes completes when the way to the memory is made: what follows does not need
	 * the target's CPU for that any more.
	 * Status of COMPLETE: -ESTALE the key is not valid any more, -EHOSTDOWN, -ETIMEDOUT the
	 * outcome is not known. Errors: -EAGAIN no room now (a COMPLETE makes room), -ERANGE,
	 * -EHOSTDOWN.
	 */
	int (*put)(struct transport_remote *remote, uint64_t off, const void *src, size_t len,
		   uint64_t cookie);
	int (*get)(struct transport_remote *remote, uint64_t off, void *dst, size_t len,
		   uint64_t cookie);
	int (*atomic)(struct transport_remote *remote, uint64_t off, enum transport_atomic op,
		      uint64_t operand, uint64_t compare, uint64_t *ret_old, uint64_t cookie);
};

/* All that were built, in order of preference; ends with NULL. */
extern const struct transport_ops *const transport_backends[];
const struct transport_ops *transport_find(const char *name);

#endif
